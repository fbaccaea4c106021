// What a marked line cost, and what would help, in words.

import type { TranslationBundle } from '@jupyterlab/translation';

import * as format from '../report/format.js';
import type { Op, Report } from '../report/schema.js';
import { moduleName, opName } from '../report/names.js';

import type { IPlacedMark } from './place.js';

const MOST_OPS = 4;
const MOST_MODULES = 3;
const MOST_HELP = 3;
/** What less than this is predicted to bring is no help. */
const LEAST_SPEEDUP = 1.05;
/** With this much of its ops' time, one bound is the line's. */
const CLEAR = 0.9;

export interface IDetails {
  readonly title: string;
  readonly notes: ReadonlyArray<string>;
  readonly rows: ReadonlyArray<{ readonly term: string; readonly texts: ReadonlyArray<string> }>;
}

export function lineDetails(mark: IPlacedMark, trans: TranslationBundle): IDetails {
  const { line, group } = mark;
  const ops = group.report.ops.filter(op => op.line === `${line.source}:${line.lineno}`);
  const modules = totals(ops, op => op.module);
  const rows = [
    { term: trans.__('Operators'), texts: operators(ops, mark, trans) },
    { term: trans.__('Modules'), texts: moduleTexts(modules, group.report, trans) },
    { term: trans.__('Bytes'), texts: bytes(ops, mark, trans) },
    { term: trans.__('Bound'), texts: bound(ops, trans) },
    { term: trans.__('What would help'), texts: help(mark, [...modules.keys()], trans) }
  ];
  return {
    title: trans.__('%1, %2 of the run', format.duration(line.ms), format.share(line.share)),
    notes: notes(mark, trans),
    rows: rows.filter(row => row.texts.length > 0)
  };
}

/** The same as one text, for those who listen. */
export function spoken(details: IDetails): string {
  const rows = details.rows.map(({ term, texts }) => `${term}: ${texts.join('; ')}.`);
  return [`${details.title}.`, ...details.notes, ...rows].join(' ');
}

function notes({ line, group, stale }: IPlacedMark, trans: TranslationBundle): string[] {
  return [
    ...(line.estimated === true ? [trans.__('Estimated: a part of the run was sampled.')] : []),
    ...(group.run === null ? [] : [trans.__('In the run of cell [%1].', group.run)]),
    ...(stale ? [trans.__('The cell has been edited since. Run it again to measure it.')] : [])
  ];
}

function operators(
  ops: ReadonlyArray<Op>,
  { line }: IPlacedMark,
  trans: TranslationBundle
): string[] {
  const sums = totals(ops, op => opName(op.name));
  const all = sum([...sums.values()]);
  const texts = largest(sums)
    .slice(0, MOST_OPS)
    .map(([name, ms]) => trans.__('%1 %2', name, format.share(all > 0 ? ms / all : null)));
  const more = sums.size - texts.length;
  if (more > 0) {
    texts.push(trans._n('%1 more', '%1 more', more));
  }
  const calls = callsOthers(line)
    ? [trans.__('%1 of the time is in other lines, which it calls', format.share(elsewhere(line)))]
    : [];
  if (texts.length === 0) {
    return calls.length > 0 ? calls : [trans.__('none of PyTorch in the line itself')];
  }
  return [texts.join(', '), ...calls];
}

function moduleTexts(
  modules: ReadonlyMap<string, number>,
  report: Report,
  trans: TranslationBundle
): string[] {
  const classes = new Map(report.modules.map(row => [row.path, row.class_name]));
  const texts = largest(modules)
    .slice(0, MOST_MODULES)
    .map(([path]) => {
      const name = moduleName(path, trans);
      const kind = classes.get(path);
      return kind === undefined ? name : trans.__('%1 (%2)', name, kind);
    });
  const more = modules.size - texts.length;
  const all = more > 0 ? [...texts, trans._n('%1 more', '%1 more', more)] : texts;
  return all.length > 0 ? [all.join(', ')] : [];
}

function bytes(
  ops: ReadonlyArray<Op>,
  { line }: IPlacedMark,
  trans: TranslationBundle
): string[] {
  const moved = sum(ops.map(op => op.bytes ?? 0));
  const held = line.bytes ?? null;
  return [
    ...(held === null ? [] : [trans.__('holds up to %1', format.size(held))]),
    ...(moved > 0 ? [trans.__('its operators read and write %1 a call', format.size(moved))] : [])
  ];
}

function bound(ops: ReadonlyArray<Op>, trans: TranslationBundle): string[] {
  const words: Readonly<Record<string, string>> = {
    compute: trans.__('arithmetic'),
    memory: trans.__('memory'),
    overhead: trans.__('launching its operators')
  };
  const sums = totals(ops, op => op.bound);
  const all = sum(ops.map(op => op.self_ms));
  return largest(sums)
    .filter(([, ms]) => ms >= (1 - CLEAR) * all)
    .map(([name, ms]) =>
      ms >= CLEAR * all
        ? trans.__('by %1', words[name] ?? name)
        : trans.__('by %1 for %2 of its time', words[name] ?? name, format.share(ms / all))
    );
}

/** Findings that name the line or its modules, and what was predicted to make the model faster if it calls that. */
function help(
  { line, group }: IPlacedMark,
  modules: ReadonlyArray<string>,
  trans: TranslationBundle
): string[] {
  const { findings, recommendations } = group.report;
  const name = new RegExp(`(^|[^\\w.])${escaped(`${line.source}:${line.lineno}`)}(?!\\d)`);
  const texts = findings
    .filter(each => [each.text, ...(each.evidence ?? [])].some(text => name.test(text)))
    .map(each => each.text.replaceAll('`', ''));
  const own = new Set(modules);
  const techniques = [...recommendations]
    .filter(each => (each.predicted_speedup ?? 0) >= LEAST_SPEEDUP)
    .sort((a, b) => (b.predicted_speedup ?? 0) - (a.predicted_speedup ?? 0))
    .map(each => trans.__('%1: predicted %2', each.label, format.ratio(each.predicted_speedup)));
  const seen = findings
    .filter(each => each.severity !== 'info' && (each.modules ?? []).some(path => own.has(path)))
    .map(each => each.title.replaceAll('`', ''));
  const found = [
    ...texts,
    ...(modules.length > 0 || callsOthers(line) ? techniques : []),
    ...seen
  ];
  return [...new Set(found)].slice(0, MOST_HELP);
}

function callsOthers(line: IPlacedMark['line']): boolean {
  return elsewhere(line) > 0.1;
}

/** The share of the line's time that is in other lines of the user's. */
function elsewhere({ ms, self_ms }: IPlacedMark['line']): number {
  return (self_ms ?? null) === null || ms <= 0 ? 0 : 1 - (self_ms ?? 0) / ms;
}

function totals(
  ops: ReadonlyArray<Op>,
  key: (op: Op) => string | null
): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const op of ops) {
    const name = key(op);
    if (name !== null) {
      sums.set(name, (sums.get(name) ?? 0) + op.self_ms);
    }
  }
  return sums;
}

function largest(sums: ReadonlyMap<string, number>): Array<[string, number]> {
  return [...sums].sort(([, a], [, b]) => b - a);
}

function sum(values: ReadonlyArray<number>): number {
  return values.reduce((total, value) => total + value, 0);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
