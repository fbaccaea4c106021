import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import type { Phase, PhasePart, Report, Training } from './schema.js';
import { RankedTable } from './table.js';
import { moduleName } from './names.js';

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** Where the time of a training step goes; nothing if the cell trains nothing. */
export function TrainingStep({ report, trans }: IProps): React.ReactElement | null {
  const training = report.training ?? null;
  if (training === null) {
    return null;
  }
  return (
    <>
      <RankedTable
        caption={trans.__('A training step')}
        note={trainingNote(training, trans)}
        columns={[trans.__('Phase'), trans.__('Time'), trans.__('Ops'), trans.__('Memory')]}
        rows={training.phases.map(phase => ({
          key: phase.name,
          cells: [
            phase.name,
            format.duration(phase.ms),
            phase.ops === null ? '' : format.count(Math.round(phase.ops)),
            (phase.peak_bytes ?? null) === null ? '' : format.size(phase.peak_bytes ?? null)
          ],
          share: phase.share
        }))}
        trans={trans}
      />
      <PhaseParts phases={training.phases} trans={trans} />
    </>
  );
}

/** `80 ms each, over 5 profiled steps. At most 13 MB held: optimizer state 8 MB, weights 4 MB.` */
function trainingNote(training: Training, trans: TranslationBundle): string {
  const steps = trans.__('%1 each, over %2 profiled steps.', format.duration(training.step_ms), training.steps);
  const kinds = (training.at_peak ?? []).map(each => `${each.kind} ${format.size(each.bytes)}`).join(', ');
  const most = training.peak_bytes ?? null;
  if (kinds === '') {
    return steps;
  }
  return most === null
    ? `${steps} ${trans.__('When most was held, besides the weights: %1.', kinds)}`
    : `${steps} ${trans.__('At most %1 held: %2.', format.size(most), kinds)}`;
}

/** The lines, modules and operators that take most of each phase, folded away. */
function PhaseParts({
  phases,
  trans
}: {
  readonly phases: ReadonlyArray<Phase>;
  readonly trans: TranslationBundle;
}): React.ReactElement | null {
  const tables = phases
    .map(phase => ({ phase, rows: partRows(phase, trans) }))
    .filter(({ rows }) => rows.length > 0);
  if (tables.length === 0) {
    return null;
  }
  return (
    <details className="jp-JupyterOptimReport-section">
      <summary>{trans.__('What takes each phase of a training step')}</summary>
      {tables.map(({ phase, rows }) => (
        <RankedTable
          key={phase.name}
          caption={phase.name}
          note={trans.__('%1 of a step.', format.duration(phase.ms))}
          columns={[trans.__('What'), trans.__('Name'), trans.__('Time')]}
          rows={rows}
          trans={trans}
        />
      ))}
    </details>
  );
}

function partRows(phase: Phase, trans: TranslationBundle) {
  const kinds: ReadonlyArray<readonly [string, ReadonlyArray<PhasePart>]> = [
    [trans.__('line'), phase.top_lines ?? []],
    [
      trans.__('module'),
      (phase.top_modules ?? []).map(part => ({ ...part, name: moduleName(part.name, trans) }))
    ],
    [trans.__('operator'), phase.top_ops ?? []]
  ];
  return kinds
    .flatMap(([what, parts]) =>
      parts.map(part => ({
        key: `${what} ${part.name}`,
        cells: [what, <code>{part.name}</code>, format.duration(part.ms)],
        share: part.share
      }))
    )
    .sort((a, b) => b.share - a.share);
}

/** What holds the memory when most is held. */
export function MemoryAtPeak({ report, trans }: IProps): React.ReactElement {
  const held = report.memory.at_peak ?? [];
  const total = held.reduce((sum, each) => sum + each.bytes, 0) || 1;
  return (
    <RankedTable
      caption={trans.__('Memory at the peak')}
      note={trans.__('What holds it when most is held.')}
      columns={[trans.__('Held by'), trans.__('Size'), trans.__('Blocks')]}
      rows={[...held]
        .sort((a, b) => b.bytes - a.bytes)
        .map(each => ({
          key: each.kind,
          cells: [each.kind, format.size(each.bytes), format.count(each.blocks)],
          share: each.bytes / total
        }))}
      trans={trans}
    />
  );
}

/** The ops whose results hold most of it. */
export function MemoryHolders({ report, trans }: IProps): React.ReactElement {
  const held = report.memory.holders ?? [];
  const known = (report.memory.at_peak ?? []).reduce((sum, each) => sum + each.bytes, 0);
  const total = report.memory.peak_bytes || known || held.reduce((sum, each) => sum + each.bytes, 0) || 1;
  return (
    <RankedTable
      caption={trans.__('What was allocated and is held then')}
      note={trans.__('Share of the peak.')}
      columns={[
        trans.__('Operator'),
        trans.__('Module'),
        trans.__('Line'),
        trans.__('Size'),
        trans.__('Blocks')
      ]}
      rows={[...held]
        .sort((a, b) => b.bytes - a.bytes)
        .map((each, i) => ({
          key: `${i}`,
          cells: [
            <code>{each.op ?? '–'}</code>,
            each.module == null ? '–' : <code>{moduleName(each.module, trans)}</code>,
            <code>{each.line ?? '–'}</code>,
            format.size(each.bytes),
            format.count(each.blocks)
          ],
          share: each.bytes / total
        }))}
      trans={trans}
    />
  );
}
