import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { marksPlugin } from './marks/plugin.js';
import { reportPlugin } from './report/plugin.js';
import { toolbarPlugin } from './toolbar/plugin.js';

const plugins: JupyterFrontEndPlugin<void>[] = [reportPlugin, marksPlugin, toolbarPlugin];

export default plugins;
