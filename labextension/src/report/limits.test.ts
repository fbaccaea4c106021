import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readReport } from './guard.js';
import { firstExcess } from './limits.js';

test('what a real report holds is let through', () => {
  assert.equal(firstExcess({ ops: Array.from({ length: 2000 }, () => ({ name: 'aten::mm' })) }), null);
});

test('too many rows, too long a text and too deep a nesting are named', () => {
  assert.equal(firstExcess({ ops: new Array(30_000).fill({}) }), 'report.ops');
  assert.equal(firstExcess({ cell: 'x'.repeat(200_000) }), 'report.cell');
  let deep: unknown = {};
  for (let i = 0; i < 100_000; i++) {
    deep = [deep];
  }
  assert.equal(firstExcess({ history: [{ options: deep }] }), 'report.history.0');
});

test('it is found before anything else is looked at', () => {
  const reading = readReport({ schema_version: 1, cell: 'x'.repeat(200_000) });
  assert.deepEqual(reading, { kind: 'too-large', where: 'report.cell' });
});
