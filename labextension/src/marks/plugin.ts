import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IEditorExtensionRegistry } from '@jupyterlab/codemirror';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { INotebookModel, NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';

import { activateTarget, ARGUMENTS } from '../cells/target.js';

import { lineMarks } from './editor.js';
import { MarkStore } from './store.js';
import { hasMarks, showNextDetails } from './walk.js';
import { NotebookWatcher } from './watcher.js';

const ID = 'jupyter-optim:marks';
const LEAST_SHARE = 0.01;

namespace CommandIDs {
  export const toggleLineMarks = 'jupyter-optim:toggle-line-marks';
  export const showLineDetails = 'jupyter-optim:show-line-details';
}

/** Marks the lines that reports found to cost the time, in the editors of notebooks. */
export const marksPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Marks the lines of cells that cost the time.',
  autoStart: true,
  requires: [IEditorExtensionRegistry, INotebookTracker],
  optional: [ISettingRegistry, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    editors: IEditorExtensionRegistry,
    tracker: INotebookTracker,
    registry: ISettingRegistry | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('jupyter-optim');
    const store = new MarkStore();
    editors.addExtension({
      name: ID,
      factory: ({ inline, model }) =>
        // notebooks edit their cells inline, and files have no reports
        inline
          ? { instance: () => lineMarks(model, store, trans), reconfigure: () => null }
          : null
    });
    const watchers = new Watchers(store);
    tracker.widgetAdded.connect((_, panel) => {
      watchers.follow(panel);
    });
    tracker.forEach(panel => {
      watchers.follow(panel);
    });
    const settings = registry?.load(ID) ?? Promise.resolve(null);
    void settings.then(loaded => {
      const apply = (): void => {
        store.enabled = loaded?.composite['lineMarks'] !== false;
        const least = loaded?.composite['leastShare'];
        watchers.leastShare = typeof least === 'number' ? least : LEAST_SHARE;
        app.commands.notifyCommandChanged(CommandIDs.toggleLineMarks);
      };
      loaded?.changed.connect(apply);
      apply();
    });
    addCommands(app, store, tracker, trans, async enabled => {
      const loaded = await settings;
      await (loaded?.set('lineMarks', enabled) ?? undefined);
      store.enabled = enabled;
    });
    for (const command of [CommandIDs.toggleLineMarks, CommandIDs.showLineDetails]) {
      palette?.addItem({ command, category: trans.__('Optimize') });
    }
  }
};

function addCommands(
  app: JupyterFrontEnd,
  store: MarkStore,
  tracker: INotebookTracker,
  trans: TranslationBundle,
  enable: (enabled: boolean) => Promise<void>
): void {
  app.commands.addCommand(CommandIDs.toggleLineMarks, {
    label: trans.__('Show Line Marks'),
    caption: trans.__('Mark the lines that cost the time, in cells with a report and in those that they call'),
    isToggleable: true,
    isToggled: () => store.enabled,
    execute: () => enable(!store.enabled),
    describedBy: { args: { type: 'object', properties: {} } }
  });
  app.commands.addCommand(CommandIDs.showLineDetails, {
    label: trans.__('Show What the Next Marked Line Costs'),
    caption: trans.__('Go to the marked line at the cursor or below it, and show its operators, bytes and bound'),
    isEnabled: () => hasMarks(tracker.currentWidget?.content, store),
    execute: async args => {
      const notebook = tracker.currentWidget?.content;
      if (notebook !== undefined) {
        activateTarget(app, tracker, args);
        await showNextDetails(notebook, store, trans);
      }
    },
    describedBy: { args: ARGUMENTS }
  });
}

/** One watcher for each notebook, however many views it has. */
class Watchers {
  constructor(store: MarkStore) {
    this._store = store;
  }

  set leastShare(value: number) {
    this._leastShare = value;
    for (const watcher of this._watchers.values()) {
      watcher.leastShare = value;
    }
  }

  follow({ context }: NotebookPanel): void {
    const notebook = context.model;
    if (this._watchers.has(notebook)) {
      return;
    }
    const watcher = new NotebookWatcher({
      notebook,
      store: this._store,
      leastShare: this._leastShare
    });
    this._watchers.set(notebook, watcher);
    context.disposed.connect(() => {
      watcher.dispose();
      this._watchers.delete(notebook);
    });
  }

  private readonly _store: MarkStore;
  private readonly _watchers = new Map<INotebookModel, NotebookWatcher>();
  private _leastShare = LEAST_SHARE;
}
