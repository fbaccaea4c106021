// Details of the marked line under the pointer. Unlike CodeMirror's own hover, also beside the line's text.

import { ViewPlugin } from '@codemirror/view';
import type { EditorView, PluginValue } from '@codemirror/view';

import { detailsField, LINE, markAt, setDetails } from './state.js';

const OPENS_AFTER_MS = 250;
/** Long enough to move the pointer into the box. */
const CLOSES_AFTER_MS = 300;

class Hover implements PluginValue {
  constructor(view: EditorView) {
    this._view = view;
    document.addEventListener('keydown', this._onKey);
  }

  destroy(): void {
    clearTimeout(this._timer);
    document.removeEventListener('keydown', this._onKey);
  }

  /** The pointer is at the line that begins here, or at none. */
  pointAt(position: number | null): void {
    if (position === this._pointed) {
      return;
    }
    this._pointed = position;
    clearTimeout(this._timer);
    if (position !== null) {
      this._timer = setTimeout(() => this._show(position, true), OPENS_AFTER_MS);
    } else if (this._byPointer) {
      this._timer = setTimeout(() => this._show(null, false), CLOSES_AFTER_MS);
    }
  }

  /** The pointer is in the box: that stays open. */
  hold(): void {
    clearTimeout(this._timer);
  }

  close(): void {
    clearTimeout(this._timer);
    this._show(null, false);
  }

  private _show(line: number | null, byPointer: boolean): void {
    const { state } = this._view;
    if (line !== null && (line > state.doc.length || markAt(state, line) === null)) {
      return;
    }
    this._byPointer = byPointer;
    const position = line === null ? null : firstInSight(this._view, line);
    if (state.field(detailsField, false) !== position) {
      this._view.dispatch({ effects: setDetails.of(position) });
    }
  }

  private readonly _onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Escape' && (this._view.state.field(detailsField, false) ?? null) !== null) {
      this.close();
    }
  };

  private readonly _view: EditorView;
  private _pointed: number | null = null;
  private _byPointer = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** Where the line begins or, if that is scrolled out of sight, what is left of it: a box hangs on a place in sight. */
function firstInSight(view: EditorView, line: number): number {
  const start = view.coordsAtPos(line);
  const gutters = view.scrollDOM.querySelector('.cm-gutters')?.getBoundingClientRect();
  const left = gutters?.right ?? view.scrollDOM.getBoundingClientRect().left;
  if (start === null || start.left >= left) {
    return line;
  }
  const { from, to } = view.state.doc.lineAt(line);
  const found = view.posAtCoords({ x: left + 1, y: (start.top + start.bottom) / 2 }, false);
  // the letter at the edge may be half hidden
  return Math.min(to, Math.max(from, found + 1));
}

export const hover = ViewPlugin.fromClass(Hover, {
  eventHandlers: {
    mousemove(event, view) {
      const line = event.target instanceof Element ? event.target.closest(`.${LINE}`) : null;
      this.pointAt(line === null ? null : view.state.doc.lineAt(view.posAtDOM(line)).from);
    },
    mouseleave() {
      this.pointAt(null);
    },
    blur() {
      this.close();
    }
  }
});
