import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { IOutputModel } from '@jupyterlab/rendermime';

import { readReport } from '../report/guard.js';
import { MIME_TYPE } from '../report/schema.js';
import type { Report } from '../report/schema.js';

const BUNDLES = ['display_data', 'execute_result', 'update_display_data'];

/** An output model copies its data at each look, and checking a report takes milliseconds. */
const known = new WeakMap<IOutputModel, Report | null>();

/** The report in a code cell's outputs, the last one if there are several; null if there is none that can be read. */
export function reportOf(cell: ICodeCellModel): Report | null {
  for (let i = cell.outputs.length - 1; i >= 0; i -= 1) {
    const report = reportIn(cell.outputs.get(i));
    if (report !== null) {
      return report;
    }
  }
  return null;
}

export function isCodeCell(cell: ICellModel | null | undefined): cell is ICodeCellModel {
  return cell?.type === 'code';
}

function reportIn(output: IOutputModel): Report | null {
  const before = known.get(output);
  if (before !== undefined) {
    return before;
  }
  const data = BUNDLES.includes(output.type) ? output.data[MIME_TYPE] : undefined;
  const reading = data === undefined ? null : readReport(data);
  const report = reading?.kind === 'report' ? reading.report : null;
  known.set(output, report);
  return report;
}
