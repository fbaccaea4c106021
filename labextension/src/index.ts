import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { hardwarePlugin } from './hardware/plugin.js';
import { reportPlugin } from './report/plugin.js';

const plugins: JupyterFrontEndPlugin<void>[] = [reportPlugin, hardwarePlugin];

export default plugins;
