import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { TranslationBundle } from '@jupyterlab/translation';

import type { LiveFrame, LiveSensor } from '../report/schema.js';
import { amount, cellWords, scale, shortWords, sparkWords } from './words.js';

/** English, as JupyterLab's own bundle has it where there is no translation. */
const trans = {
  __: (text: string, ...values: unknown[]) =>
    text.replace(/%(\d)/g, (_, place) => String(values[Number(place) - 1])),
  _n: (one: string, many: string, count: number) =>
    (count === 1 ? one : many).replace('%1', String(count))
} as unknown as TranslationBundle;

function sensor(key: LiveSensor['key'], unit: LiveSensor['unit'], value: number | null, full: number | null) {
  return { key, unit, value, full, gpu: key.startsWith('gpu') ? 0 : null, reason: null };
}

function frame(sensors: LiveSensor[]): LiveFrame {
  return { at_s: 1, every_s: 1, cores: 2, sensors, gpus: [], gpu_reason: null, cells: [] };
}

test('values carry their unit', () => {
  assert.equal(amount(36.6, '%'), '37%');
  assert.equal(amount(3.2e9, 'B'), '3.20 GB');
  assert.equal(amount(120.4, 'W'), '120 W');
  assert.equal(amount(53.5, '°C'), '54 °C');
});

test('a scale says what the value is part of', () => {
  assert.equal(scale(sensor('cpu', '%', 3, 100), 100, 2, trans), 'of 2 cores');
  assert.equal(scale(sensor('process_cpu', '%', 3, 200), 100, 2, trans), '100% is one core');
  assert.equal(scale(sensor('memory', 'B', 1e9, 16e9), 16e9, 2, trans), 'of 16.0 GB');
  assert.equal(scale(sensor('process_memory', 'B', 6e7, 16e9), 1e8, 2, trans), 'chart to 100 MB');
  assert.equal(scale(sensor('gpu_use', '%', 1, 100), 100, 2, trans), '');
});

test('the status bar names what is known, and the busiest GPU', () => {
  const known = [sensor('cpu', '%', 37, 100), sensor('memory', 'B', 3.2e9, 16.8e9)];
  assert.equal(shortWords(frame(known), trans), 'CPU 37%  Memory 3.20 of 16.8 GB');
  const gpu = sensor('gpu_use', '%', 80, 100);
  assert.match(shortWords(frame([...known, gpu]), trans), /GPU 80%$/);
  assert.match(shortWords(frame([...known, gpu, { ...gpu, gpu: 1, value: 95 }]), trans), /GPUs up to 95%$/);
  assert.equal(shortWords(frame([sensor('cpu', '%', null, 100)]), trans), '');
});

test('a sparkline and a cell are put into words for those who do not see them', () => {
  const points = [3, 98, 37].map((value, atS) => ({ atS, value }));
  assert.equal(
    sparkWords(sensor('cpu', '%', 37, 100), points, trans),
    'CPU, whole machine over the last two minutes: 3% to 98%'
  );
  assert.equal(cellWords({ number: 3, began_s: 1, ended_s: 13 }, 20, trans), 'cell [3], 12.0 s');
  assert.equal(cellWords({ number: 3, began_s: 1, ended_s: null }, 4, trans), 'cell [3], running for 3.00 s');
  assert.equal(cellWords({ number: null, began_s: 1, ended_s: 2 }, 4, trans), 'a cell, 1.00 s');
});
