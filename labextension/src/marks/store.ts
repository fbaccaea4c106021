import type { CodeEditor } from '@jupyterlab/codeeditor';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import type { IMarkGroup } from './place.js';

const NONE: ReadonlyArray<IMarkGroup> = [];

/** The marks of each cell, for whatever editors show it: a notebook makes them when a cell is scrolled to. */
export class MarkStore {
  /** Emits the cell whose marks changed; null if all may have. */
  get changed(): ISignal<this, CodeEditor.IModel | null> {
    return this._changed;
  }

  /** Whether marks are shown. */
  get enabled(): boolean {
    return this._enabled;
  }
  set enabled(value: boolean) {
    if (value !== this._enabled) {
      this._enabled = value;
      this._changed.emit(null);
    }
  }

  get(model: CodeEditor.IModel): ReadonlyArray<IMarkGroup> {
    return this._enabled ? (this._groups.get(model) ?? NONE) : NONE;
  }

  set(model: CodeEditor.IModel, groups: ReadonlyArray<IMarkGroup>): void {
    if (groups.length > 0 || this._groups.has(model)) {
      this._groups.set(model, groups);
      this._changed.emit(model);
    }
  }

  private readonly _groups = new WeakMap<CodeEditor.IModel, ReadonlyArray<IMarkGroup>>();
  private readonly _changed = new Signal<this, CodeEditor.IModel | null>(this);
  private _enabled = true;
}
