import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { INotebookModel, NotebookPanel } from '@jupyterlab/notebook';
import { KernelMessage } from '@jupyterlab/services';
import { JSONExt } from '@lumino/coreutils';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';

import { BUNDLES, isCodeCell } from '../cells/reports.js';

import { MIME_TYPE } from './schema.js';

/** How the kernel names the controls whose report it updates; jupyter_optim/notebook/display.py says it. */
const CONTROLS = 'jupyter_optim_controls';
const WIDGET = 'application/vnd.jupyter.widget-view+json';

/**
 * Keeps a report up with the controls below it after the page was loaded anew. JupyterLab forgets then which output an
 * update is for; the controls are known by their model, which is saved with the cell.
 */
export const livingPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-optim:living',
  description: 'Keeps reports up to date whose page was loaded anew.',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_app: JupyterFrontEnd, tracker: INotebookTracker): void => {
    const follow = ({ context }: NotebookPanel): void => {
      context.sessionContext.iopubMessage.connect((_, message) => {
        if (KernelMessage.isUpdateDisplayDataMsg(message)) {
          update(context.model, message.content);
        }
      });
    };
    tracker.forEach(follow);
    tracker.widgetAdded.connect((_, panel) => follow(panel));
  }
};

type Content = KernelMessage.IUpdateDisplayDataMsg['content'];

/** Put the report into the cells that hold these controls, unless JupyterLab has done so. */
function update(notebook: INotebookModel, { data, metadata, transient }: Content): void {
  const beside: Readonly<Record<string, unknown>> = transient;
  const controls = beside[CONTROLS];
  const report = data[MIME_TYPE];
  if (typeof controls !== 'string' || report === undefined) {
    return;
  }
  for (const cell of notebook.cells) {
    const outputs = isCodeCell(cell) ? cell.outputs : null;
    const shown = Array.from({ length: outputs?.length ?? 0 }, (_, i) => outputs?.get(i));
    if (!shown.some(output => modelOf(output?.data[WIDGET]) === controls)) {
      continue;
    }
    shown.forEach((output, i) => {
      const before = output !== undefined && BUNDLES.includes(output.type) ? output.data[MIME_TYPE] : undefined;
      if (before !== undefined && !JSONExt.deepEqual(before, report)) {
        outputs?.set(i, { output_type: 'display_data', data, metadata });
      }
    });
  }
}

function modelOf(view: ReadonlyPartialJSONValue | undefined): unknown {
  return typeof view === 'object' && view !== null && 'model_id' in view ? view.model_id : undefined;
}
