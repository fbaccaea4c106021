import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';

import { readingOf } from '../report/reading.js';
import type { Report } from '../report/schema.js';

/** Kinds of outputs that hold data by MIME type. */
export const BUNDLES = ['display_data', 'execute_result', 'update_display_data'];

/** The report in a code cell's outputs, the last one if there are several; null if there is none that can be read. */
export function reportOf({ outputs }: ICodeCellModel): Report | null {
  for (let i = outputs.length - 1; i >= 0; i -= 1) {
    const output = outputs.get(i);
    const reading = BUNDLES.includes(output.type) ? readingOf(output) : null;
    if (reading?.kind === 'report') {
      return reading.report;
    }
  }
  return null;
}

export function isCodeCell(cell: ICellModel | null | undefined): cell is ICodeCellModel {
  return cell?.type === 'code';
}
