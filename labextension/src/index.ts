import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { reportPlugin } from './report/plugin.js';

const plugins: JupyterFrontEndPlugin<void>[] = [reportPlugin];

export default plugins;
