import { Notification } from '@jupyterlab/apputils';
import type { ISessionContext } from '@jupyterlab/apputils';
import { NotebookActions } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import { isCodeCell, reportOf } from '../cells/reports.js';

import { evaluate, loadExtension, Obstacle } from './kernel.js';
import { isOptimized, LOAD, loadsExtension, MAGIC, withoutMagic } from './magic.js';
import { isOurs } from './subject.js';
import type { ISubject } from './subject.js';

const INSTALLED = "__import__('importlib').import_module('jupyter_optim').__name__";

/** Put `%%optimize` over the cell, see to it that the kernel knows it, and run the cell. */
export async function optimizeCell(
  { panel, cell }: ISubject,
  dialogs: ISessionContext.IDialogs | null,
  trans: TranslationBundle
): Promise<void> {
  const { content: notebook, sessionContext } = panel;
  const shared = notebook.model?.sharedModel;
  await kernelChosen(sessionContext, dialogs);
  const known = notebook.widgets.some(
    ({ model }) => isCodeCell(model) && loadsExtension(model.sharedModel.getSource())
  );
  if (sessionContext.session?.kernel?.status === 'busy') {
    Notification.info(trans.__('The kernel is busy: the cell runs when it is free.'), {
      autoClose: 5000
    });
  }
  if (!known) {
    // asked first: where the package is missing, the notebook stays as it is
    await evaluate(sessionContext, INSTALLED, trans);
  }
  const index = notebook.widgets.findIndex(({ model }) => model === cell);
  if (index < 0 || shared === undefined) {
    return;
  }
  shared.transact(() => {
    if (!isOptimized(cell.sharedModel.getSource())) {
      cell.sharedModel.updateSource(0, 0, `${MAGIC}\n`);
    }
    if (!known) {
      // a cell of its own, so that the notebook also runs from top to bottom
      shared.insertCell(index, { cell_type: 'code', source: LOAD, metadata: { trusted: true } });
    }
  });
  const run = notebook.widgets.slice(index, known ? index + 1 : index + 2);
  await Promise.all([
    // the cell that loads it may not have been run in this kernel, which works on its messages in turn
    known ? loadExtension(sessionContext, trans) : undefined,
    NotebookActions.runCells(notebook, run, sessionContext, dialogs ?? undefined)
  ]);
}

/** Take `%%optimize` out of the cell, and what it showed; the cell's other outputs stay. */
export function removeOptimize({ cell }: ISubject): void {
  const text = cell.sharedModel.getSource();
  const rest = withoutMagic(text);
  cell.sharedModel.updateSource(0, text.length, rest);
  const outputs = cell.outputs.toJSON();
  const others = outputs.filter(output => !isOurs(output['data']));
  if (others.length < outputs.length) {
    cell.outputs.fromJSON(others);
  }
}

/** Insert a cell with the changes that stand, as plain PyTorch. */
export async function insertCode({ panel, cell }: ISubject, trans: TranslationBundle): Promise<void> {
  const report = reportOf(cell);
  if (report === null) {
    return;
  }
  const about = [report.cell ?? '', report.workload.model].map(text => JSON.stringify(text));
  const module = "__import__('jupyter_optim.notebook.source', fromlist=['source_of'])";
  const shown = await evaluate(panel.sessionContext, `${module}.source_of(${about.join(', ')})`, trans);
  const code = shown['text/plain'];
  if (typeof code !== 'string') {
    throw new Obstacle(trans.__('The kernel gave no code.'));
  }
  const { content: notebook } = panel;
  const index = notebook.widgets.findIndex(({ model }) => model === cell);
  notebook.model?.sharedModel.insertCell(index + 1, {
    cell_type: 'code',
    source: code.trimEnd(),
    metadata: { trusted: true }
  });
  notebook.activeCellIndex = index + 1;
  notebook.deselectAll();
}

async function kernelChosen(
  context: ISessionContext,
  dialogs: ISessionContext.IDialogs | null
): Promise<void> {
  await context.ready;
  if (context.hasNoKernel && dialogs !== null) {
    await dialogs.selectKernel(context);
  }
}
