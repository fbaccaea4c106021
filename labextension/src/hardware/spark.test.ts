import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { LiveSensor } from '../report/schema.js';
import { linePath, scaleTop } from './spark.js';

function top(key: LiveSensor['key'], full: number | null, ...values: number[]): number {
  const sensor = { key, unit: '%', gpu: null, value: null, full, reason: null } as const;
  return scaleTop(
    sensor,
    values.map((value, atS) => ({ atS, value }))
  );
}

test('a scale ends where the sensor says, or at the next round number', () => {
  assert.equal(top('cpu', 100, 30), 100);
  assert.equal(top('gpu_power', 100, 130), 130);
  assert.equal(top('temperature', null, 30, 54), 100);
  assert.equal(top('temperature', null, 0.2), 0.2);
  assert.equal(top('temperature', null), 1);
});

test("a kernel's own part of a large machine has a scale of its own", () => {
  assert.equal(top('process_memory', 25e9, 58e6, 61e6), 100e6);
  assert.equal(top('process_cpu', 6400, 3), 100);
  assert.equal(top('process_cpu', 6400, 130), 200);
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
