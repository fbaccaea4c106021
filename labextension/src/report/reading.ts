import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { readReport } from './guard.js';
import type { Reading } from './guard.js';
import { MIME_TYPE } from './schema.js';

const HTML = 'text/html';

interface IOutput {
  readonly reading: Reading;
  readonly hasHtml: boolean;
}

/** An output copies its data at each look, and checking a report takes milliseconds: all who draw it share the result. */
const known = new WeakMap<IRenderMime.IMimeModel, IOutput>();

/** The report of an output, or why there is none. An output that is updated is a new one. */
export function readingOf(output: IRenderMime.IMimeModel): Reading {
  return lookedAt(output).reading;
}

/** Whether the output has a page for viewers without this extension. */
export function hasHtml(output: IRenderMime.IMimeModel): boolean {
  return lookedAt(output).hasHtml;
}

function lookedAt(output: IRenderMime.IMimeModel): IOutput {
  const before = known.get(output);
  if (before !== undefined) {
    return before;
  }
  const data = output.data;
  const found = { reading: readReport(data[MIME_TYPE]), hasHtml: HTML in data };
  known.set(output, found);
  return found;
}
