import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';
import * as React from 'react';

import { Boundary } from './boundary.js';
import { Fold } from './fold.js';
import type { Reading } from './guard.js';
import { readingOf } from './reading.js';
import { MIME_TYPE, SCHEMA_VERSION } from './schema.js';
import type { Report } from './schema.js';
import { Stay } from './stay.js';
import { ReportView } from './view.js';

const FALLBACKS = ['text/html', 'text/plain'];

/** One output: the report as a React view or, if it cannot be read, a line why and the output's html. */
export class ReportRenderer extends Panel implements IRenderMime.IRenderer {
  constructor(options: ReportRenderer.IOptions) {
    super();
    this._rendermime = options.rendermime;
    this._trans = options.translator.load('jupyter-optim');
    this.addClass('jp-JupyterOptimReport');
  }

  /** Called for the first time and again for every update of the output. */
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const reading = readingOf(model);
    if (reading.kind === 'report') {
      this._show(reading.report, model);
      this._fold?.draw(model);
      return;
    }
    await this._fallBack(this._complaint(reading), model);
  }

  /** The output's html below a line that says why. */
  private async _fallBack(why: string, model: IRenderMime.IMimeModel): Promise<void> {
    this._clear();
    this.addWidget(notice(why));
    const fallback = FALLBACKS.find(each => each in model.data);
    if (fallback !== undefined) {
      const renderer = this._rendermime.createRenderer(fallback);
      this.addWidget(renderer);
      await renderer.renderModel(model);
    }
  }

  private _show(report: Report, model: IRenderMime.IMimeModel): void {
    if (this._view === null) {
      this._clear();
      this._view = new View(this._trans);
      this.addWidget(this._view);
      this._fold = new Fold(this._rendermime, this._trans);
      this.addWidget(this._fold);
    }
    // the same view is kept, so that what the reader had unfolded stays unfolded
    this._view.draw(report, error => {
      void this._fallBack(this._trans.__('This report could not be drawn: %1', error.message), model);
    });
  }

  private _clear(): void {
    this._view = null;
    this._fold = null;
    for (const widget of [...this.widgets]) {
      widget.dispose();
    }
  }

  private _complaint(reading: Exclude<Reading, { kind: 'report' }>): string {
    switch (reading.kind) {
      case 'other-version':
        return this._trans.__(
          'This report has schema version %1, and this extension reads version %2. Update jupyter-optim, or measure again.',
          reading.version,
          SCHEMA_VERSION
        );
      case 'too-large':
        return this._trans.__('This report is too large to be drawn: see %1.', reading.where);
      case 'broken':
        return this._trans.__('This is not a readable %1: see %2.', MIME_TYPE, reading.where);
    }
  }

  private readonly _rendermime: IRenderMimeRegistry;
  private readonly _trans: TranslationBundle;
  private _view: View | null = null;
  private _fold: Fold | null = null;
}

export namespace ReportRenderer {
  export interface IOptions {
    rendermime: IRenderMimeRegistry;
    translator: ITranslator;
  }
}

class View extends ReactWidget {
  constructor(trans: TranslationBundle) {
    super();
    this._trans = trans;
  }

  /** `onFailure` is called where drawing this report failed. */
  draw(report: Report, onFailure: (error: Error) => void): void {
    this._report = report;
    this._onFailure = onFailure;
    this.update();
  }

  /** A notebook has most of its cells off the page: they are drawn when they come onto it. */
  protected override onUpdateRequest(message: Message): void {
    if (this.isAttached) {
      super.onUpdateRequest(message);
    }
  }

  /** Scrolled away is not gone: the tab and the filter are there when the reader comes back. */
  protected override onBeforeDetach(message: Message): void {
    if (this.isDisposed) {
      super.onBeforeDetach(message);
    }
  }

  protected override render(): React.ReactElement | null {
    return (
      this._report && (
        <Boundary onFailure={this._onFailure}>
          <Stay>
            <ReportView report={this._report} trans={this._trans} />
          </Stay>
        </Boundary>
      )
    );
  }

  private readonly _trans: TranslationBundle;
  private _report: Report | null = null;
  private _onFailure: (error: Error) => void = () => undefined;
}

function notice(text: string): Widget {
  const widget = new Widget({ node: document.createElement('p') });
  widget.addClass('jp-JupyterOptimReport-notice');
  widget.node.textContent = text;
  return widget;
}
