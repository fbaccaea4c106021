import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { Panel, Widget } from '@lumino/widgets';
import * as React from 'react';

import { Fold } from './fold.js';
import type { Reading } from './guard.js';
import { readingOf } from './reading.js';
import { MIME_TYPE, SCHEMA_VERSION } from './schema.js';
import type { Report } from './schema.js';
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
      this._show(reading.report, picture(model.data['image/png']));
      this._fold?.draw(model);
      return;
    }
    this._clear();
    this.addWidget(notice(this._complaint(reading)));
    const fallback = FALLBACKS.find(each => each in model.data);
    if (fallback !== undefined) {
      const renderer = this._rendermime.createRenderer(fallback);
      this.addWidget(renderer);
      await renderer.renderModel(model);
    }
  }

  private _show(report: Report, figure: string | null): void {
    if (this._view === null) {
      this._clear();
      this._view = new View(this._trans);
      this.addWidget(this._view);
      this._fold = new Fold(this._rendermime, this._trans);
      this.addWidget(this._fold);
    }
    // the same view is kept, so that what the reader had unfolded stays unfolded
    this._view.draw(report, figure);
  }

  private _clear(): void {
    this._view = null;
    this._fold = null;
    for (const widget of [...this.widgets]) {
      widget.dispose();
    }
  }

  private _complaint(reading: Exclude<Reading, { kind: 'report' }>): string {
    return reading.kind === 'other-version'
      ? this._trans.__(
          'This report has schema version %1, and this extension reads version %2. Update jupyter-optim, or measure again.',
          reading.version,
          SCHEMA_VERSION
        )
      : this._trans.__('This is not a readable %1: see %2.', MIME_TYPE, reading.where);
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

  draw(report: Report, figure: string | null): void {
    this._report = report;
    this._figure = figure;
    this.update();
  }

  protected override render(): React.ReactElement | null {
    return (
      this._report && (
        <ReportView report={this._report} figure={this._figure} trans={this._trans} />
      )
    );
  }

  private readonly _trans: TranslationBundle;
  private _report: Report | null = null;
  private _figure: string | null = null;
}

/** The output's picture as the source of an image, or null if it has none. */
function picture(data: unknown): string | null {
  const text = typeof data === 'string' ? data.replace(/\s/g, '') : '';
  return /^[A-Za-z0-9+/]+=*$/.test(text) ? `data:image/png;base64,${text}` : null;
}

function notice(text: string): Widget {
  const widget = new Widget({ node: document.createElement('p') });
  widget.addClass('jp-JupyterOptimReport-notice');
  widget.node.textContent = text;
  return widget;
}
