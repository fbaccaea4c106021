import { LabIcon } from '@jupyterlab/ui-components';

/** A gauge. */
export const optimizeIcon = new LabIcon({
  name: 'jupyter-optim:optimize',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161"><path d="M12 4a10 10 0 0 0-8.66 15h2.36a8 8 0 1 1 12.6 0h2.36A10 10 0 0 0 12 4z"/><path d="M17.2 8.9l-6.3 4.5a2 2 0 1 0 2.6 2.6z"/></g></svg>`
});

/** The gauge, struck out. */
export const removeIcon = new LabIcon({
  name: 'jupyter-optim:remove',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161"><path d="M12 4a10 10 0 0 0-8.66 15h2.36a8 8 0 1 1 12.6 0h2.36A10 10 0 0 0 12 4z"/><path d="M9.4 11l-1.4 1.4 2.6 2.6L8 17.6 9.4 19l2.6-2.6 2.6 2.6 1.4-1.4-2.6-2.6 2.6-2.6-1.4-1.4-2.6 2.6z"/></g></svg>`
});

/** Two bars of different length. */
export const compareIcon = new LabIcon({
  name: 'jupyter-optim:compare',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161"><path d="M3 4h2v16H3z"/><path d="M6 6h15v5H6z"/><path d="M6 13h8v5H6z"/></g></svg>`
});
