import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { TranslationBundle } from '@jupyterlab/translation';
import { PanelLayout, Widget } from '@lumino/widgets';

import { hasHtml } from './reading.js';

const HTML = 'text/html';

/**
 * The page that viewers without this extension show, folded away and drawn when it is first opened: it has all that was
 * measured, also what the view above has no place for.
 */
export class Fold extends Widget {
  constructor(rendermime: IRenderMimeRegistry, trans: TranslationBundle) {
    const node = document.createElement('details');
    super({ node });
    this._rendermime = rendermime;
    this.layout = this._inner = new PanelLayout();
    this.addClass('jp-JupyterOptimReport-section');
    this.addClass('jp-JupyterOptimReport-whole');
    const summary = document.createElement('summary');
    summary.textContent = trans.__(
      'The report as it looks without this extension, with the code line by line and all that was measured'
    );
    node.appendChild(summary);
    node.addEventListener('toggle', () => {
      void this._drawIfOpen();
    });
  }

  /** Show this output from now on. */
  draw(model: IRenderMime.IMimeModel): void {
    this._model = model;
    this._drawn = false;
    this.setHidden(!hasHtml(model));
    void this._drawIfOpen();
  }

  private async _drawIfOpen(): Promise<void> {
    if (this._model === null || this._drawn || !(this.node as HTMLDetailsElement).open) {
      return;
    }
    this._drawn = true;
    for (const widget of [...this._inner.widgets]) {
      widget.dispose();
    }
    const renderer = this._rendermime.createRenderer(HTML);
    this._inner.addWidget(renderer);
    // the layout puts widgets before all that is none
    this.node.appendChild(renderer.node);
    await renderer.renderModel(this._model);
  }

  private readonly _rendermime: IRenderMimeRegistry;
  private readonly _inner: PanelLayout;
  private _model: IRenderMime.IMimeModel | null = null;
  private _drawn = false;
}
