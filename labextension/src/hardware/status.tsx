import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import * as React from 'react';

import type { HardwareModel } from './model.js';
import { shortWords } from './words.js';

/** A few words in the status bar; a click opens the panel. */
export class HardwareStatus extends ReactWidget {
  constructor(model: HardwareModel, open: () => void, trans: TranslationBundle) {
    super();
    this._model = model;
    this._open = open;
    this._trans = trans;
    this.addClass('jp-JupyterOptimHardware-status');
    // the bar that it is in is looked at, for without figures the item itself is hidden
    model.addView(() => this._enabled && this.parent !== null && this.parent.isVisible);
    model.changed.connect(this._onChanged, this);
  }

  get isActive(): boolean {
    return this._enabled && this._text !== '';
  }

  /** Emits as it appears or vanishes. */
  get activeStateChanged(): ISignal<this, void> {
    return this._activeStateChanged;
  }

  set enabled(enabled: boolean) {
    this._enabled = enabled;
    this._model.update();
    this._onChanged();
    this._activeStateChanged.emit();
  }

  protected override render(): JSX.Element {
    return (
      <button
        type="button"
        title={this._trans.__("Show hardware of the kernel's machine")}
        onClick={this._open}
      >
        {this._text}
      </button>
    );
  }

  private _onChanged(): void {
    const { link } = this._model;
    const frame = link !== null && link.state.kind === 'live' ? link.history.latest : null;
    const was = this.isActive;
    this._text = frame === null ? '' : shortWords(frame, this._trans);
    if (this.isActive !== was) {
      this._activeStateChanged.emit();
    }
    this.update();
  }

  private readonly _model: HardwareModel;
  private readonly _open: () => void;
  private readonly _trans: TranslationBundle;
  private readonly _activeStateChanged = new Signal<this, void>(this);
  private _enabled = false;
  private _text = '';
}
