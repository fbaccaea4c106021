import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { INotebookModel } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import type { Report } from '../report/schema.js';

import { assignMarks } from './assign.js';
import type { IMarkGroup } from './place.js';
import { isCodeCell, reportOf } from '../cells/reports.js';
import type { MarkStore } from './store.js';

/** Keeps the marks of a notebook's cells as its outputs, its prompts and its list of cells are. */
export class NotebookWatcher implements IDisposable {
  constructor(options: NotebookWatcher.IOptions) {
    this._notebook = options.notebook;
    this._store = options.store;
    this._leastShare = options.leastShare;
    this._notebook.cells.changed.connect(this._onCells, this);
    this._onCells();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  set leastShare(value: number) {
    if (value !== this._leastShare) {
      this._leastShare = value;
      this._seen = [];
      this._later();
    }
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      Signal.clearData(this);
    }
  }

  private _onCells(): void {
    for (const cell of this._notebook.cells) {
      if (isCodeCell(cell) && !this._watched.has(cell)) {
        this._watched.add(cell);
        cell.outputs.changed.connect(this._onOutputs, this);
        cell.stateChanged.connect(this._onState, this);
      }
    }
    this._later();
  }

  private _onOutputs(): void {
    this._later();
  }

  private _onState(_: ICellModel, change: { readonly name: string }): void {
    if (change.name === 'executionCount') {
      this._later();
    }
  }

  /** Once for all the changes of one message, or of a notebook that opens. */
  private _later(): void {
    if (this._due) {
      return;
    }
    this._due = true;
    queueMicrotask(() => {
      this._due = false;
      if (!this._isDisposed && !this._notebook.isDisposed) {
        this._mark();
      }
    });
  }

  private _mark(): void {
    const cells = [...this._notebook.cells].filter(isCodeCell);
    const seen = cells.flatMap(cell => [cell, cell.executionCount, reportOf(cell)]);
    // a cell that prints a thousand lines changes its outputs a thousand times
    if (seen.length === this._seen.length && seen.every((each, i) => each === this._seen[i])) {
      return;
    }
    this._seen = seen;
    const facts = cells.map(cell => ({
      count: cell.executionCount,
      text: cell.sharedModel.getSource(),
      report: reportOf(cell)
    }));
    const groups = assignMarks(facts, this._leastShare);
    cells.forEach((cell, i) => {
      this._store.set(
        cell,
        (groups[i] ?? []).map(group => this._remembered(cell, group))
      );
    });
  }

  /** The text that a cell had when a report first marked it is what later edits are told by. */
  private _remembered(cell: ICodeCellModel, group: IMarkGroup): IMarkGroup {
    const texts = this._measured.get(cell) ?? new WeakMap<Report, string>();
    this._measured.set(cell, texts);
    const measured = texts.get(group.report) ?? group.measured;
    if (measured !== null) {
      texts.set(group.report, measured);
    }
    return { ...group, measured };
  }

  private readonly _notebook: INotebookModel;
  private readonly _store: MarkStore;
  private readonly _watched = new WeakSet<ICellModel>();
  private readonly _measured = new WeakMap<ICodeCellModel, WeakMap<Report, string>>();
  private _leastShare: number;
  private _due = false;
  /** Cells, their numbers and reports, as the marks are of. */
  private _seen: ReadonlyArray<unknown> = [];
  private _isDisposed = false;
}

export namespace NotebookWatcher {
  export interface IOptions {
    readonly notebook: INotebookModel;
    readonly store: MarkStore;
    readonly leastShare: number;
  }
}
