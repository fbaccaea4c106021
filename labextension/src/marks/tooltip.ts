import type { IDetails } from './details.js';

/** A marked line's details as a box; all of it is text. */
export function detailsBox(details: IDetails): HTMLElement {
  const box = element('div', 'jp-JupyterOptim-details');
  box.setAttribute('role', 'tooltip');
  box.append(element('p', 'jp-JupyterOptim-detailsTitle', details.title));
  box.append(...details.notes.map(note => element('p', 'jp-JupyterOptim-detailsNote', note)));
  if (details.rows.length > 0) {
    const list = element('dl');
    for (const { term, texts } of details.rows) {
      list.append(element('dt', '', term), ...texts.map(text => element('dd', '', text)));
    }
    box.append(list);
  }
  return box;
}

function element(tag: string, name = '', text = ''): HTMLElement {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  return node;
}
