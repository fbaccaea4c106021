import assert from 'node:assert/strict';
import { test } from 'node:test';

import { firstMismatch, readReport } from './guard.js';

const INTERVAL = { $ref: '#/$defs/Interval' };

test('a value that fits is let through, with keys that a later version may add', () => {
  assert.equal(firstMismatch({ low: 1, median: 2, high: 3, added: 'x' }, INTERVAL, 'at'), null);
});

test('a missing key, a wrong type and a number that is none are named by their path', () => {
  assert.equal(firstMismatch({ low: 1, median: 2 }, INTERVAL, 'at'), 'at.high');
  assert.equal(firstMismatch({ low: 1, median: '2', high: 3 }, INTERVAL, 'at'), 'at.median');
  assert.equal(firstMismatch({ low: 1, median: NaN, high: 3 }, INTERVAL, 'at'), 'at.median');
});

test('keys of Object.prototype are no keys of the data', () => {
  const odd = { type: 'object', required: ['constructor'], properties: {} };
  assert.equal(firstMismatch({}, odd, 'at'), 'at.constructor');
});

test('within an optional value, the path leads to the very place', () => {
  const optional = { anyOf: [INTERVAL, { type: 'null' }] };
  assert.equal(firstMismatch(null, optional, 'at'), null);
  assert.equal(firstMismatch({ low: 1, median: null, high: 3 }, optional, 'at'), 'at.median');
});

test('another schema version is told apart from a broken report', () => {
  assert.deepEqual(readReport({ schema_version: 2 }), { kind: 'other-version', version: 2 });
  assert.equal(readReport({ schema_version: 1 }).kind, 'broken');
  assert.deepEqual(readReport('<b>'), { kind: 'broken', where: 'report' });
});
