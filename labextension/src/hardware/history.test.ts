import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { CellRun, LiveFrame, LiveSensor } from '../report/schema.js';
import { History, SHOWN_S, bands } from './history.js';

const CPU: LiveSensor = { key: 'cpu', unit: '%', gpu: null, value: null, full: 100, reason: null };

function frame(atS: number, value: number | null, cells: CellRun[] = []): LiveFrame {
  const sensors = [{ ...CPU, value }];
  return { at_s: atS, every_s: 1, cores: 2, sensors, gpus: [], gpu_reason: null, cells };
}

test('what is older than two minutes is forgotten, however long the panel is open', () => {
  const history = new History();
  for (let second = 0; second < 4000; second += 1) {
    history.add(frame(second, second));
  }
  const points = history.points(CPU);
  assert.equal(points.length, SHOWN_S);
  assert.deepEqual(points[0], { atS: 3880, value: 3880 });
  assert.equal(history.latest?.at_s, 3999);
});

test('frames that come too often are bounded, too', () => {
  const history = new History();
  for (let i = 0; i < 5000; i += 1) {
    history.add(frame(i / 1000, 1));
  }
  assert.equal(history.points(CPU).length, 300);
});

test('a moment without a value is no point, and another GPU is another sensor', () => {
  const history = new History();
  history.add(frame(1, 5));
  history.add(frame(2, null));
  assert.deepEqual(history.points(CPU), [{ atS: 1, value: 5 }]);
  assert.deepEqual(history.points({ ...CPU, gpu: 0 }), []);
});

test('a clock that runs backwards is another kernel', () => {
  const history = new History();
  history.add(frame(100, 1));
  history.add(frame(3, 2));
  assert.deepEqual(history.points(CPU), [{ atS: 3, value: 2 }]);
});

test('bands are parts of the time that is shown, cut at its edges', () => {
  const runs = [
    { number: 1, began_s: 10, ended_s: 20 },
    { number: 2, began_s: 70, ended_s: 110 },
    { number: 3, began_s: 170, ended_s: 170.001 },
    { number: 4, began_s: 200, ended_s: null }
  ];
  const found = bands(frame(220, 1, runs));
  assert.deepEqual(
    found.map(band => band.run.number),
    [2, 3, 4]
  );
  assert.equal(found[0]?.from, 0);
  assert.ok((found[1]?.to ?? 0) - (found[1]?.from ?? 0) > 0.003, 'a short run is seen');
  assert.equal(found[2]?.to, 1);
});
