// What the commands act on: a code cell of the current notebook, and its report.

import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import { isCodeCell, reportOf } from '../cells/reports.js';
import { MIME_TYPE } from '../report/schema.js';
import type { Report } from '../report/schema.js';

import { cellMagic, isOptimized, MAGIC } from './magic.js';

export interface ISubject {
  readonly panel: NotebookPanel;
  readonly cell: ICodeCellModel;
  /** Place of the cell in its notebook. */
  readonly index: number;
}

export interface IReported {
  readonly cell: ICodeCellModel;
  readonly report: Report;
}

/** The cell at this place of the current notebook; null where there is none, or where it is no code in Python. */
export function subjectAt(tracker: INotebookTracker, index: number): ISubject | null {
  const panel = tracker.currentWidget;
  const cell = panel?.content.widgets[index]?.model;
  if (panel === null || !isCodeCell(cell)) {
    return null;
  }
  const language = panel.content.model?.defaultKernelLanguage ?? '';
  return ['', 'python'].includes(language)
    ? { panel, cell, index }
    : null;
}

/** Another cell magic that stands where `%%optimize` would have to stand; null if there is none. */
export function magicInTheWay({ cell }: ISubject): string | null {
  const magic = cellMagic(cell.sharedModel.getSource());
  return magic === MAGIC ? null : magic;
}

export function canOptimize(subject: ISubject): boolean {
  return subject.cell.sharedModel.getSource().trim() !== '' && magicInTheWay(subject) === null;
}

export function canRemove({ cell }: ISubject): boolean {
  return isOptimized(cell.sharedModel.getSource()) || reportOf(cell) !== null;
}

/** The two reports to compare: of the two selected cells, or of this cell and the next above it that has one. */
export function pairOf({ panel, cell, index }: ISubject): readonly [IReported, IReported] | null {
  const { content } = panel;
  const selected = reported(content.widgets.filter(each => content.isSelectedOrActive(each)));
  if (selected.length === 2 && selected.some(each => each.cell === cell)) {
    return pair(selected);
  }
  const until = reported(content.widgets.slice(0, index + 1));
  return until.at(-1)?.cell === cell ? pair(until.slice(-2)) : null;
}

/** Whether an output is of a run under `%%optimize`: the report, or what stands in its place or below it. */
export function isOurs(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) {
    return false;
  }
  const html: unknown = 'text/html' in data ? data['text/html'] : '';
  const text = Array.isArray(html) ? html.join('') : html;
  return MIME_TYPE in data || (typeof text === 'string' && /class="jupyter-optim-/.test(text));
}

function pair(found: ReadonlyArray<IReported>): readonly [IReported, IReported] | null {
  const [first, second] = found;
  return first !== undefined && second !== undefined ? [first, second] : null;
}

function reported(cells: ReadonlyArray<{ readonly model: ICellModel }>): IReported[] {
  return cells.flatMap(({ model }) => {
    const report = isCodeCell(model) ? reportOf(model) : null;
    return report === null ? [] : [{ cell: model as ICodeCellModel, report }];
  });
}
