import { ILabShell } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, ISessionContextDialogs, Notification } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { activateTarget, ARGUMENTS, targetIndex } from '../cells/target.js';

import { cellCommands } from './commands.js';
import type { ICellCommand } from './commands.js';
import { Obstacle } from './kernel.js';
import { subjectAt } from './subject.js';
import type { ISubject } from './subject.js';

/** Commands for the active cell: in its toolbar, its context menu and the palette. */
export const toolbarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-optim:toolbar',
  description: 'Puts %%optimize over a cell, and works with its report.',
  autoStart: true,
  requires: [INotebookTracker, IRenderMimeRegistry],
  optional: [ICommandPalette, ISessionContextDialogs, ILabShell, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    rendermime: IRenderMimeRegistry,
    palette: ICommandPalette | null,
    dialogs: ISessionContextDialogs | null,
    labShell: ILabShell | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('jupyter-optim');
    const commands = cellCommands({
      trans,
      dialogs,
      rendermime,
      shell: app.shell,
      // the main area of Notebook 7 holds the notebook and nothing else
      area: labShell === null ? 'right' : 'main'
    });
    for (const command of commands) {
      addCommand(app, tracker, command);
      palette?.addItem({ command: command.id, category: trans.__('Optimize') });
    }
    followActiveCell(tracker, () => {
      for (const { id } of commands) {
        app.commands.notifyCommandChanged(id);
      }
    });
  }
};

function addCommand(app: JupyterFrontEnd, tracker: INotebookTracker, command: ICellCommand): void {
  const { id, label, icon, caption, fits, run } = command;
  const subjectOf = (args: ReadonlyPartialJSONObject): ISubject | null =>
    subjectAt(tracker, targetIndex(app, tracker, args));
  app.commands.addCommand(id, {
    label,
    icon: icon.bindprops({ stylesheet: 'menuItem' }),
    caption: args => {
      const subject = subjectOf(args);
      return subject === null ? label : caption(subject);
    },
    isVisible: args => subjectOf(args) !== null,
    isEnabled: args => {
      const subject = subjectOf(args);
      return subject !== null && fits(subject);
    },
    execute: async args => {
      const subject = subjectOf(args);
      if (subject === null || !fits(subject)) {
        return;
      }
      activateTarget(app, tracker, args);
      try {
        await run(subject);
      } catch (error) {
        if (!(error instanceof Obstacle)) {
          throw error;
        }
        Notification.error(error.message, { autoClose: 10_000 });
      }
    },
    describedBy: { args: ARGUMENTS }
  });
}

/** Call `changed` when the active cell is another one, or has another text or output. */
function followActiveCell(tracker: INotebookTracker, changed: () => void): void {
  let leave = (): void => undefined;
  tracker.selectionChanged.connect(changed);
  tracker.activeCellChanged.connect((_, cell) => {
    leave();
    const model = cell?.model;
    model?.contentChanged.connect(changed);
    leave = () => {
      model?.contentChanged.disconnect(changed);
    };
    changed();
  });
}
