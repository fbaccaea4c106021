import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IConsoleTracker } from '@jupyterlab/console';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Follower } from './follower.js';
import { HardwareModel } from './model.js';
import { HardwarePanel } from './panel.js';
import { HardwareStatus } from './status.js';

const ID = 'jupyter-optim:hardware';
const SHOW = 'jupyter-optim:show-hardware';

/** Shows live what the machine of the current kernel is doing. */
export const hardwarePlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Shows what the kernel's machine is doing, in a side panel and in the status bar.",
  autoStart: true,
  optional: [
    INotebookTracker,
    IConsoleTracker,
    ICommandPalette,
    IStatusBar,
    ISettingRegistry,
    ILayoutRestorer,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null,
    palette: ICommandPalette | null,
    statusBar: IStatusBar | null,
    settings: ISettingRegistry | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('jupyter-optim');
    const model = new HardwareModel(new Follower(app.shell, notebooks, consoles));
    const panel = new HardwarePanel(model, trans);
    app.shell.add(panel, 'right', { rank: 750, type: 'Hardware' });
    restorer?.add(panel, panel.id);
    app.commands.addCommand(SHOW, {
      label: trans.__("Show Hardware of the Kernel's Machine"),
      caption: trans.__('CPU, memory, GPU use, power and temperature, live'),
      execute: () => app.shell.activateById(panel.id)
    });
    palette?.addItem({ command: SHOW, category: trans.__('Kernel Operations') });
    const status = new HardwareStatus(model, () => void app.commands.execute(SHOW), trans);
    statusBar?.registerStatusItem(ID, {
      item: status,
      align: 'left',
      rank: 4,
      isActive: () => status.isActive,
      activeStateChanged: status.activeStateChanged
    });
    if (settings === null) {
      status.enabled = true;
    } else {
      void follow(settings, model, status);
    }
  }
};

async function follow(
  registry: ISettingRegistry,
  model: HardwareModel,
  status: HardwareStatus
): Promise<void> {
  const settings = await registry.load(ID);
  const read = (): void => {
    status.enabled = settings.get('statusItem').composite !== false;
    const interval = settings.get('interval').composite;
    model.everyS = typeof interval === 'number' ? interval : 1;
  };
  settings.changed.connect(read);
  read();
}
