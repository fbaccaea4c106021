// From marked line to marked line, by the keyboard.

import { EditorView } from '@codemirror/view';
import type { Cell } from '@jupyterlab/cells';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { Notebook } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import { detailsShown, showLineDetails } from './editor.js';
import { placeMarks } from './place.js';
import type { MarkStore } from './store.js';

interface IPlace {
  readonly cell: number;
  readonly lineno: number;
}

export function hasMarks(notebook: Notebook | undefined, store: MarkStore): boolean {
  return (notebook?.widgets ?? []).some(cell => store.get(cell.model).length > 0);
}

/** Show the details of the marked line at the cursor; or, if they are shown, of the next one, from the last to the first. */
export async function showNextDetails(
  notebook: Notebook,
  store: MarkStore,
  trans: TranslationBundle
): Promise<void> {
  const places = notebook.widgets.flatMap(({ model }, cell): IPlace[] =>
    placeMarks(store.get(model), model.sharedModel.getSource()).map(({ lineno }) => ({ cell, lineno }))
  );
  const next = places.find(place => isNext(place, notebook)) ?? places[0];
  const cell = next === undefined ? undefined : notebook.widgets[next.cell];
  if (next === undefined || cell === undefined) {
    return;
  }
  if (notebook.activeCellIndex !== next.cell) {
    notebook.deselectAll();
    notebook.activeCellIndex = next.cell;
    // a cell that is out of sight may have no editor yet
    await notebook.scrollToItem(next.cell);
    await cell.ready;
  }
  cell.inputHidden = false;
  notebook.mode = 'edit';
  const view = viewOf(cell);
  if (view !== null) {
    showLineDetails(view, next.lineno, trans);
  }
}

function isNext({ cell, lineno }: IPlace, notebook: Notebook): boolean {
  const at = notebook.activeCellIndex;
  const view = cell === at && notebook.mode === 'edit' ? viewOf(notebook.activeCell) : null;
  if (view === null) {
    return cell >= at;
  }
  const cursor = view.state.doc.lineAt(view.state.selection.main.head).number;
  return lineno > cursor || (lineno === cursor && !detailsShown(view, lineno));
}

function viewOf(cell: Cell | null): EditorView | null {
  const editor: (CodeEditor.IEditor & { readonly editor?: unknown }) | null = cell?.editor ?? null;
  return editor?.editor instanceof EditorView ? editor.editor : null;
}
