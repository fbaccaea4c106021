import { LabIcon } from '@jupyterlab/ui-components';

/** A processor with a line of its use. Themes colour whatever is `jp-icon3` and has a fill. */
export const hardwareIcon = new LabIcon({
  name: 'jupyter-optim:hardware',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M7 5h10a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2zm0 2v10h10V7H7z"/>
    <path d="M8 1h2v3H8zm6 0h2v3h-2zM8 20h2v3H8zm6 0h2v3h-2zM1 8h3v2H1zm0 6h3v2H1zm19-6h3v2h-3zm0 6h3v2h-3z"/>
    <path d="M8 14.6l2.2-3.4 2 2.2 2.4-4.2 1.4.8-3.6 6.2-2-2.2-1 1.6z"/>
  </g>
</svg>`
});
