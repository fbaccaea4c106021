import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContextDialogs } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { codeIcon } from '@jupyterlab/ui-components';
import type { LabIcon } from '@jupyterlab/ui-components';

import { reportOf } from '../cells/reports.js';

import { insertCode, optimizeCell, removeOptimize } from './actions.js';
import { compareReports } from './compare.js';
import { compareIcon, optimizeIcon, removeIcon } from './icons.js';
import { MAGIC } from './magic.js';
import { canOptimize, canRemove, magicInTheWay, pairOf } from './subject.js';
import type { ISubject } from './subject.js';

/** A command that acts on the active cell. */
export interface ICellCommand {
  readonly id: string;
  readonly label: string;
  readonly icon: LabIcon;
  readonly caption: (subject: ISubject) => string;
  readonly fits: (subject: ISubject) => boolean;
  readonly run: (subject: ISubject) => Promise<void> | void;
}

export interface ICommandOptions {
  readonly trans: TranslationBundle;
  readonly dialogs: ISessionContextDialogs | null;
  readonly rendermime: IRenderMimeRegistry;
  readonly shell: JupyterFrontEnd.IShell;
  /** Where a comparison is shown. */
  readonly area: string;
}

export function cellCommands(options: ICommandOptions): ReadonlyArray<ICellCommand> {
  const { trans, dialogs } = options;
  const optimize = trans.__('Optimize this cell');
  return [
    {
      id: 'jupyter-optim:optimize-cell',
      label: optimize,
      icon: optimizeIcon,
      caption: subject => {
        const magic = magicInTheWay(subject);
        return magic === null
          ? optimize
          : trans.__('%1: not where %2 stands over the cell', optimize, magic);
      },
      fits: canOptimize,
      run: subject => optimizeCell(subject, dialogs, trans)
    },
    {
      id: 'jupyter-optim:remove-optimize',
      label: trans.__('Remove %1 and its report', MAGIC),
      icon: removeIcon,
      caption: () => trans.__('Take %1 out of the cell, and its report out of the output', MAGIC),
      fits: canRemove,
      run: removeOptimize
    },
    {
      id: 'jupyter-optim:insert-code',
      label: trans.__('Insert code of the changes'),
      icon: codeIcon,
      caption: () =>
        trans.__('Insert a cell below that makes the same changes in plain PyTorch'),
      fits: ({ cell }) => reportOf(cell) !== null,
      run: subject => insertCode(subject, trans)
    },
    {
      id: 'jupyter-optim:compare-reports',
      label: trans.__('Compare two reports'),
      icon: compareIcon,
      caption: () =>
        trans.__('Of two selected cells, or of this cell and the one above it that has a report'),
      fits: subject => pairOf(subject) !== null,
      run: subject => {
        const pair = pairOf(subject);
        return pair === null ? undefined : compareReports({ ...options, subject, pair }, trans);
      }
    }
  ];
}
