import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { readReport } from './guard.js';
import type { Reading } from './guard.js';
import { MIME_TYPE } from './schema.js';

/** An output copies its data at each look, and checking a report takes milliseconds: all who draw it share the result. */
const known = new WeakMap<IRenderMime.IMimeModel, Reading>();

/** The report of an output, or why there is none. An output that is updated is a new one. */
export function readingOf(output: IRenderMime.IMimeModel): Reading {
  const before = known.get(output);
  if (before !== undefined) {
    return before;
  }
  const reading = readReport(output.data[MIME_TYPE]);
  known.set(output, reading);
  return reading;
}
