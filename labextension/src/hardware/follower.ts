import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import type { IConsoleTracker } from '@jupyterlab/console';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { Title, Widget } from '@lumino/widgets';

/** A notebook or a console. */
export interface IDocument extends Widget {
  readonly sessionContext: ISessionContext;
  readonly title: Title<Widget>;
}

/** Follows the notebook or console that the user is in, or was in last. */
export class Follower {
  constructor(
    shell: JupyterFrontEnd.IShell,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null
  ) {
    this._shell = shell;
    this._trackers = [notebooks, consoles].filter(tracker => tracker !== null);
    shell.currentChanged?.connect(this._update, this);
    for (const tracker of this._trackers) {
      tracker.currentChanged.connect(this._update, this);
    }
    this._update();
  }

  /** Emits as another document takes the place of `current`. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get current(): IDocument | null {
    return this._current;
  }

  private _update(): void {
    const next = this._documentOf(this._shell.currentWidget) ?? this._last();
    if (next === this._current) {
      return;
    }
    this._current?.disposed.disconnect(this._update, this);
    this._current = next;
    next?.disposed.connect(this._update, this);
    this._changed.emit();
  }

  private _last(): IDocument | null {
    if (this._current !== null && !this._current.isDisposed) {
      return this._current;
    }
    const found = this._trackers.map(tracker => tracker.currentWidget);
    return found.find(each => each !== null && !each.isDisposed) ?? null;
  }

  private _documentOf(widget: Widget | null): IDocument | null {
    const isOurs = widget !== null && this._trackers.some(tracker => tracker.has(widget));
    return isOurs ? (widget as IDocument) : null;
  }

  private readonly _shell: JupyterFrontEnd.IShell;
  private readonly _trackers: ReadonlyArray<INotebookTracker | IConsoleTracker>;
  private readonly _changed = new Signal<this, void>(this);
  private _current: IDocument | null = null;
}
