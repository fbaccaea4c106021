import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import type { Report } from './schema.js';
import { RankedTable } from './table.js';

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
    <RankedTable
      caption={trans.__('A training step')}
      note={trans.__('%1 each, over %2 profiled steps.', format.duration(training.step_ms), training.steps)}
      columns={[trans.__('Phase'), trans.__('Time'), trans.__('Ops')]}
      rows={training.phases.map(phase => ({
        key: phase.name,
        cells: [
          phase.name,
          format.duration(phase.ms),
          phase.ops === null ? format.UNKNOWN : format.count(Math.round(phase.ops))
        ],
        share: phase.share
      }))}
      trans={trans}
    />
  );
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
