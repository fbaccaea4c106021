import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { ReportRenderer } from './renderer.js';
import { MIME_TYPE } from './schema.js';

/** Below the 50 of text/html, which the same output carries for everybody else: the lower rank is shown. */
const RANK = 20;

/** Draws the reports in notebooks' outputs. */
export const reportPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-optim:report',
  description: 'Draws the reports of jupyter_optim.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (_app, rendermime: IRenderMimeRegistry, translator: ITranslator | null): void => {
    rendermime.addFactory(
      {
        // only text nodes are made of the data, so a notebook need not be trusted to be shown
        safe: true,
        mimeTypes: [MIME_TYPE],
        createRenderer: options =>
          new ReportRenderer({
            rendermime,
            translator: options.translator ?? translator ?? nullTranslator
          })
      },
      RANK
    );
  }
};
