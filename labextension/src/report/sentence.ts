// The one sentence that says it all, word for word as jupyter_optim/render/headline.py writes it.

import type { TranslationBundle } from '@jupyterlab/translation';

import * as format from './format.js';
import { gain } from './gain.js';
import type { IGain } from './gain.js';
import { OUTSIDE, timeGroups } from './groups.js';
import type { ITimeGroup } from './groups.js';
import type { Interval, Op, Report } from './schema.js';

const WORTH_SAYING = 0.1;
const LONGEST_NAME = 60;

/** Below this part of the machine's peak, it is not the limit. */
const FAR = 0.25;
const MOST = 0.5;

/** How long, how sure, where, and how much better than at first; names of code stand in backticks. */
export function sentence(report: Report, trans: TranslationBundle): string {
  const { latency, workload } = report;
  const code = workload.origin === 'expression' && workload.expression ? workload.expression : workload.model;
  const name = quoted(code);
  if (latency.median_ms === null) {
    const reason = latency.reason || workload.reason || trans.__('no reason was given');
    return trans.__('%1 could not be timed: %2.', name, reason.trim().replace(/\.+$/, ''));
  }
  const time = format.durationInterval(latency.median_ms, latency.low_ms, latency.high_ms);
  const at = place(report, trans);
  const where = mostOf(report, trans);
  if (workload.origin === 'trace') {
    const what = latency.repeats > 0 ? trans.__('a step') : trans.__('in all');
    return trans.__("%1: %2 %3 %4, the profiler's own work included%5.", name, what, time, at, where);
  }
  return [
    trans.__('%1 takes', name),
    latency.status === 'estimated' ? trans.__(' about') : '',
    ` ${time} ${at}`,
    workload.training ? trans.__(' in training mode') : '',
    workload.replayed ? '' : trans.__(", as seen in the cell's own run"),
    better(gain(report), trans),
    where,
    '.'
  ].join('');
}

/** Where the model ran: `on 2 CPU threads`, or the GPU's name. */
export function place(report: Report, trans: TranslationBundle): string {
  const { environment, workload } = report;
  const [kind, index] = workload.device.split(':');
  if (kind === 'cpu') {
    const threads = environment.threads;
    return threads === null
      ? trans.__('on the CPU')
      : trans._n('on %1 CPU thread', 'on %1 CPU threads', threads);
  }
  const name = kind === 'cuda' ? gpuName(report, Number(index ?? 0)) : null;
  return trans.__('on %1', name ?? workload.device);
}

/** Name of a GPU by torch's index. The driver counts in another order, and tells which one it watched. */
function gpuName({ environment, hardware }: Report, index: number): string | null {
  const seen = hardware.samples?.gpus ?? [];
  if (seen.length === 1) {
    return seen[0]?.name ?? null;
  }
  if (seen.length > 0 && new Set(environment.gpus.map(gpu => gpu.name)).size > 1) {
    return null;
  }
  return environment.gpus.find(gpu => gpu.index === index)?.name ?? null;
}

function better(change: IGain | null, trans: TranslationBundle): string {
  if (change === null) {
    return '';
  }
  const smaller = format.sizeChange(change.sizeRatio);
  const parts = [
    change.speedup === null ? '' : speedWords(change.speedup, trans),
    smaller === 'same size' ? '' : smaller
  ].filter(Boolean);
  return parts.length === 0 ? '' : `, ${parts.join(trans.__(' and '))}`;
}

function speedWords({ low, median, high }: Interval, trans: TranslationBundle): string {
  if (low > 1) {
    return trans.__('%1 faster than at first %2', format.ratio(median), interval(low, high));
  }
  if (high < 1 && low > 0) {
    return trans.__('%1 slower than at first %2', format.ratio(1 / median), interval(1 / high, 1 / low));
  }
  return trans.__('no faster than at first');
}

function interval(low: number, high: number): string {
  return `(95% CI ${format.ratio(low).slice(0, -1)} to ${format.ratio(high).slice(0, -1)})`;
}

/** `; 83% of it in 36 Linear layers, bound by arithmetic at ...`, or nothing if nothing stands out. */
function mostOf(report: Report, trans: TranslationBundle): string {
  const first = timeGroups(report.ops, report.modules).find(group => group.share >= WORTH_SAYING);
  if (first === undefined || (first.modules.length === 1 && first.modules[0] === '')) {
    return '';
  }
  const modules = new Set(first.modules);
  const limit = limitOf(
    report.ops.filter(op => op.module !== null && modules.has(op.module)),
    trans
  );
  const words = trans.__('; %1 of it %2', format.share(first.share), groupWords(first, trans));
  return limit === null ? words : `${words}, ${limit}`;
}

function groupWords(group: ITimeGroup, trans: TranslationBundle): string {
  if (group.className !== null) {
    return trans._n(
      'in %1 %2 layer',
      'in %1 %2 layers',
      group.modules.length,
      quoted(group.className)
    );
  }
  return group.label === OUTSIDE ? OUTSIDE : trans.__('in %1', quoted(group.label));
}

/** What bounds most of the ops' time, and how near they come to the peak together; null if it is not known. */
function limitOf(ops: ReadonlyArray<Op>, trans: TranslationBundle): string | null {
  const spent = { compute: 0, memory: 0, overhead: 0 };
  let [near, total] = [0, 0];
  for (const op of ops) {
    total += op.self_ms;
    near += op.self_ms * (op.of_peak ?? 0);
    if (op.bound !== null) {
      spent[op.bound] += op.self_ms;
    }
  }
  const bounds = ['compute', 'memory', 'overhead'] as const;
  const bound = bounds.reduce((a, b) => (spent[b] > spent[a] ? b : a));
  if (total <= 0 || spent[bound] <= 0 || spent[bound] < MOST * total) {
    return null;
  }
  return boundWords(bound, near / total, trans);
}

function boundWords(
  bound: 'compute' | 'memory' | 'overhead',
  near: number,
  trans: TranslationBundle
): string {
  if (bound === 'overhead') {
    return trans.__('bound by the launching of many small ops');
  }
  const percent = `${(near * 100).toFixed(0)}%`;
  if (near < FAR) {
    return trans.__('far from what this machine can do (%1)', percent);
  }
  return bound === 'compute'
    ? trans.__('bound by arithmetic, at %1 of what this machine can do', percent)
    : trans.__('bound by memory, at %1 of what this machine can do', percent);
}

function quoted(text: string): string {
  return `\`${format.shorten(text.replace(/`/g, "'"), LONGEST_NAME)}\``;
}
