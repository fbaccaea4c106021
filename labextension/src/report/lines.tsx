import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import type { Report } from './schema.js';
import { RankedTable } from './table.js';

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
