import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { hardwarePlugin } from './hardware/plugin.js';
import { marksPlugin } from './marks/plugin.js';
import { livingPlugin } from './report/living.js';
import { reportPlugin } from './report/plugin.js';
import { toolbarPlugin } from './toolbar/plugin.js';

const plugins: JupyterFrontEndPlugin<void>[] = [
  reportPlugin,
  livingPlugin,
  marksPlugin,
  toolbarPlugin,
  hardwarePlugin
];

export default plugins;
