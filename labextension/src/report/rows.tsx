import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import type { Report } from './schema.js';
import { RankedTable } from './table.js';
import { moduleName, opName, opTotals } from './totals.js';

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** The lines of the user's code, the dearest first. */
export function Lines({ report, trans }: IProps): React.ReactElement {
  return (
    <RankedTable
      caption={trans.__('Lines of your code')}
      note={trans.__('Inclusive time of what the line called when the cell last ran.')}
      columns={[trans.__('Line'), trans.__('Code'), trans.__('Time'), trans.__('Memory')]}
      rows={[...report.lines]
        .sort((a, b) => b.ms - a.ms)
        .map(line => ({
          key: `${line.source}:${line.lineno}`,
          cells: [
            `${line.source}:${line.lineno}`,
            <code>{line.text.trim()}</code>,
            line.estimated === true
              ? trans.__('%1 (estimated)', format.duration(line.ms))
              : format.duration(line.ms),
            (line.bytes ?? null) === null ? '' : format.size(line.bytes ?? null)
          ],
          share: line.share
        }))}
      trans={trans}
    />
  );
}

/** The modules, by their own time. */
export function Modules({ report, trans }: IProps): React.ReactElement {
  return (
    <RankedTable
      caption={trans.__('Modules')}
      note={trans.__('Share of the time in the module itself, without the modules that it calls.')}
      columns={[
        trans.__('Module'),
        trans.__('Class'),
        trans.__('Calls'),
        trans.__('Self'),
        trans.__('Total')
      ]}
      rows={[...report.modules]
        .sort((a, b) => b.share - a.share)
        .map(row => ({
          key: row.path,
          cells: [
            <code>{moduleName(row.path, trans)}</code>,
            row.class_name,
            format.count(row.calls),
            format.duration(row.self_ms),
            format.duration(row.total_ms)
          ],
          share: row.share
        }))}
      trans={trans}
    />
  );
}

/** The operators, summed over all modules. */
export function Ops({ report, trans }: IProps): React.ReactElement {
  return (
    <RankedTable
      caption={trans.__('Operators')}
      note={trans.__('Share of the time in the operator itself, over all modules.')}
      columns={[trans.__('Operator'), trans.__('Device'), trans.__('Calls'), trans.__('Self')]}
      rows={opTotals(report.ops).map(op => ({
        key: `${op.name} ${op.device}`,
        cells: [
          <code title={op.name}>{opName(op.name)}</code>,
          op.device,
          format.count(op.calls),
          format.duration(op.selfMs)
        ],
        share: op.share
      }))}
      trans={trans}
    />
  );
}
