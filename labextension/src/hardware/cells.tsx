import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IBand } from './history.js';
import { cellName, cellWords } from './words.js';

/** Narrower bands have no room for a name; a tooltip has it. */
const NAMED = 0.14;

interface ICellsProps {
  readonly bands: ReadonlyArray<IBand>;
  readonly nowS: number;
  readonly trans: TranslationBundle;
}

/** Which cell ran when, above the sparklines and on their scale. */
export function Cells({ bands, nowS, trans }: ICellsProps): JSX.Element {
  const newest = bands[bands.length - 1];
  const words = bands.map(band => cellWords(band.run, nowS, trans)).join('; ');
  return (
    <section className="jp-JupyterOptimHardware-cells">
      <div className="jp-JupyterOptimHardware-row">
        <span className="jp-JupyterOptimHardware-label">{trans.__('Cells')}</span>
        <span>
          {newest === undefined
            ? trans.__('none ran in the last two minutes')
            : cellWords(newest.run, nowS, trans)}
        </span>
      </div>
      <div
        className="jp-JupyterOptimHardware-bands"
        role="img"
        aria-label={
          words === '' ? trans.__('No cell ran in the last two minutes') : trans.__('Cells that ran: %1', words)
        }
      >
        {bands.map(band => (
          <span
            key={band.run.began_s}
            style={{ left: percent(band.from), width: percent(band.to - band.from) }}
            title={cellWords(band.run, nowS, trans)}
          >
            {band.to - band.from >= NAMED ? cellName(band.run, trans) : ''}
          </span>
        ))}
      </div>
      <div className="jp-JupyterOptimHardware-row jp-JupyterOptimHardware-quiet" aria-hidden="true">
        <span>{trans.__('2 minutes ago')}</span>
        <span>{trans.__('now')}</span>
      </div>
    </section>
  );
}

function percent(part: number): string {
  return `${(part * 100).toFixed(2)}%`;
}
