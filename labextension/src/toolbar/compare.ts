import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Panel } from '@lumino/widgets';

import type { Report } from '../report/schema.js';

import { compareIcon } from './icons.js';
import { evaluate, Obstacle } from './kernel.js';
import type { IReported, ISubject } from './subject.js';

const HTML = 'text/html';

/** What changed between two reports, in a view of its own beside the notebook. */
export async function compareReports(
  options: {
    readonly subject: ISubject;
    readonly pair: readonly [IReported, IReported];
    readonly shell: JupyterFrontEnd.IShell;
    /** `main`; or another where that has room for one document alone. */
    readonly area: string;
    readonly rendermime: IRenderMimeRegistry;
  },
  trans: TranslationBundle
): Promise<void> {
  const { subject, pair, shell, area, rendermime } = options;
  const { panel } = subject;
  const shown = await evaluate(panel.sessionContext, comparison(pair[0].report, pair[1].report), trans);
  const html = shown[HTML];
  if (typeof html !== 'string') {
    throw new Obstacle(trans.__('The kernel gave no comparison.'));
  }
  const renderer = rendermime.createRenderer(HTML);
  const content = new Panel();
  content.addClass('jp-JupyterOptim-comparison');
  content.addWidget(renderer);
  // not trusted: its names come from the reports, and those from wherever the notebook does
  await renderer.renderModel(
    rendermime.createModel({ data: { [HTML]: html }, trusted: false })
  );
  const view = new MainAreaWidget({ content });
  view.id = `jupyter-optim-comparison-${panel.id}`;
  view.title.label = title(pair, trans);
  view.title.caption = panel.title.label;
  view.title.icon = compareIcon;
  view.title.closable = true;
  for (const before of shell.widgets(area)) {
    if (before.id === view.id) {
      before.dispose();
      break;
    }
  }
  shell.add(view, area, { mode: 'split-right', ref: panel.id, activate: true });
  shell.activateById(view.id);
}

function comparison(before: Report, after: Report): string {
  // a string of JSON is one of Python, too
  const reports = [before, after].map(report => JSON.stringify(JSON.stringify(report)));
  const package_ = "__import__('jupyter_optim')";
  return `${package_}.compare(*map(${package_}.Report.from_json, (${reports.join(', ')})))`;
}

function title(pair: readonly [IReported, IReported], trans: TranslationBundle): string {
  const [first, second] = pair.map(({ cell }) => cell.executionCount ?? ' ');
  return trans.__('Reports of [%1] and [%2]', first, second);
}
