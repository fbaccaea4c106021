import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { KernelLink, LinkState } from './link.js';

/** From so long on, silence is remarked upon. */
const SILENT_S = 4;

interface INoticeProps {
  readonly link: KernelLink;
  readonly everyS: number;
  readonly trans: TranslationBundle;
}

/** What stands in the way of figures, if anything does; it is read out as it changes, unlike the figures. */
export function Notice({ link, everyS, trans }: INoticeProps): JSX.Element {
  const state = link.state;
  return (
    <div role="status" className="jp-JupyterOptimHardware-notice">
      {state.kind === 'live' && link.silentS > SILENT_S + 2 * everyS ? (
        <p>{trans.__('No news for a while: the running cell leaves other threads no time.')}</p>
      ) : (
        stateWords(state, trans) && <p>{stateWords(state, trans)}</p>
      )}
      {state.kind === 'absent' && (
        <p>
          <code>%pip install jupyter-optim</code>
        </p>
      )}
      {RETRIED.has(state.kind) && (
        <button type="button" className="jp-mod-styled jp-mod-minimal" onClick={() => link.retry()}>
          {trans.__('Try again')}
        </button>
      )}
    </div>
  );
}

const RETRIED: ReadonlySet<LinkState['kind']> = new Set<LinkState['kind']>(['absent', 'failed', 'other-version']);

function stateWords(state: LinkState, trans: TranslationBundle): string {
  switch (state.kind) {
    case 'live':
      return '';
    case 'connecting':
      return trans.__('Waiting for the kernel to answer.');
    case 'starting':
      return trans.__('The kernel is starting.');
    case 'busy':
      return trans.__(
        'The kernel is busy with a cell and cannot be asked yet. The figures come when the cell has ended.'
      );
    case 'disconnected':
      return trans.__('The connection to the kernel is lost.');
    case 'dead':
      return trans.__('The kernel is dead. Restart it to see its machine again.');
    case 'absent':
      return trans.__('The package jupyter-optim is not installed where this kernel runs. In a cell of the notebook:');
    case 'other-language':
      return trans.__('This kernel runs %1. Only Python kernels can tell of their machine.', state.language);
    case 'other-version':
      return trans.__(
        'The kernel has another version of jupyter-optim than this page. Install the same on both sides, restart the kernel, and load the page again.'
      );
    case 'failed':
      return trans.__('The kernel could not begin to measure: %1', state.reason);
  }
}
