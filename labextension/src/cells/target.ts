import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

/** What the entries of a cell's context menu give to their commands. */
export const FROM_MENU = 'fromContextMenu';

export const ARGUMENTS = {
  type: 'object',
  properties: {
    [FROM_MENU]: {
      type: 'boolean',
      description: 'Act on the cell whose context menu is open, not on the active cell.'
    }
  }
} as const;

/**
 * Place of the cell that a command acts on: the active one or, from a context menu, the one under the pointer: a click
 * of the right button need not make that active. -1 if there is none.
 */
export function targetIndex(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  args: ReadonlyPartialJSONObject
): number {
  const notebook = tracker.currentWidget?.content;
  if (notebook === undefined) {
    return -1;
  }
  const node =
    args[FROM_MENU] === true
      ? app.contextMenuHitTest(each => each.classList.contains('jp-Cell'))
      : undefined;
  const under = node === undefined ? -1 : notebook.widgets.findIndex(cell => cell.node === node);
  return under >= 0 ? under : notebook.activeCellIndex;
}

/** Make the cell under the context menu the active one, so that one sees what is done to it. */
export function activateTarget(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  args: ReadonlyPartialJSONObject
): void {
  const notebook = tracker.currentWidget?.content;
  const index = targetIndex(app, tracker, args);
  const cell = notebook?.widgets[index];
  if (notebook !== undefined && cell !== undefined && !notebook.isSelectedOrActive(cell)) {
    notebook.deselectAll();
    notebook.activeCellIndex = index;
  }
}
