import assert from 'node:assert/strict';
import { test } from 'node:test';

import { linePath, scaleTop } from './spark.js';

test('a scale ends where the sensor says, or at the next round number', () => {
  assert.equal(scaleTop([{ atS: 1, value: 30 }], 100), 100);
  assert.equal(scaleTop([{ atS: 1, value: 130 }], 100), 130);
  assert.equal(scaleTop([{ atS: 1, value: 54 }], null), 100);
  assert.equal(scaleTop([{ atS: 1, value: 0.2 }], null), 0.2);
  assert.equal(scaleTop([], null), 1);
});

test('the newest point stands at the right edge, and full use at the top', () => {
  const points = [
    { atS: 60, value: 0 },
    { atS: 61, value: 100 }
  ];
  assert.equal(linePath(points, 61, 1, 100), 'M119.0 30.5L120.0 1.5');
});

test('where nothing was heard, the line is broken', () => {
  const points = [10, 11, 20, 21].map(atS => ({ atS, value: 1 }));
  assert.deepEqual(linePath(points, 21, 1, 1).match(/[ML]/g), ['M', 'L', 'M', 'L']);
});
