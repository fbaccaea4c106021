import assert from 'node:assert/strict';
import { test } from 'node:test';

import { op } from './fixtures.js';
import { overlap, placedLabels } from './labels.js';
import { roofline } from './rooflineData.js';
import type { Report } from './schema.js';

const PEAKS = { flops_per_s: { float32: 1e11, float64: 5e10, bfloat16: 4e11 }, bytes_per_s: 1e10 };

function report(ops: Report['ops'], peaks: unknown = PEAKS): Report {
  return { ops, peaks } as Report;
}

test('an op stands at its operations for each byte and its operations a second', () => {
  const found = roofline(report([op({ flops: 2e6, bytes: 1e5, self_ms: 2, dtype: 'float32' })]));
  assert.equal(found?.points[0]?.intensity, 20);
  assert.equal(found?.points[0]?.rate, 1e9);
  // the roofs of the types in use, and of those that a remedy would use
  assert.deepEqual(found?.roofs.map(roof => roof.name), ['float32', 'bfloat16']);
});

test('every point lies within the axes, however slow or fast', () => {
  const found = roofline(
    report([
      op({ flops: 1, bytes: 1e9, self_ms: 1e4 }),
      op({ flops: 1e15, bytes: 1, self_ms: 1e-3 })
    ])
  );
  for (const point of found?.points ?? []) {
    assert.ok(point.intensity >= (found?.intensities[0] ?? NaN) && point.intensity <= (found?.intensities[1] ?? NaN));
    assert.ok(point.rate >= (found?.rates[0] ?? NaN) && point.rate <= (found?.rates[1] ?? NaN));
  }
});

test('without peaks, or without work that is known, there is no chart', () => {
  assert.equal(roofline(report([op({ flops: 1, bytes: 1 })], null)), null);
  assert.equal(roofline(report([op({ flops: null, bytes: 1 })])), null);
  assert.equal(roofline(report([op({ flops: 1, bytes: 1 })], { flops_per_s: {}, bytes_per_s: 1 })), null);
});

test('labels cover neither each other nor a point, and stay within the frame', () => {
  const frame = { x: 0, y: 0, width: 300, height: 200 };
  const spots = Array.from({ length: 40 }, (_, i) => ({
    x: 20 + ((i * 67) % 260),
    y: 20 + ((i * 41) % 160),
    radius: 5,
    text: `op_${i}`
  }));
  const labels = placedLabels(spots, frame, [{ x: 0, y: 0, width: 300, height: 30 }]).filter(
    label => label !== null
  );
  assert.ok(labels.length > 5);
  for (const [i, label] of labels.entries()) {
    assert.ok(label.x >= 0 && label.x + label.width <= 300 && label.y >= 30 && label.y + label.height <= 200);
    assert.ok(!labels.some((other, j) => i !== j && overlap(label, other)));
    assert.ok(
      !spots.some(spot =>
        overlap(label, { x: spot.x - 5, y: spot.y - 5, width: 10, height: 10 })
      )
    );
  }
});

test('what is named already needs no second label', () => {
  const spots = [100, 200].map(x => ({ x, y: 100, radius: 4, text: 'addmm' }));
  const labels = placedLabels(spots, { x: 0, y: 0, width: 400, height: 200 }, []);
  assert.deepEqual(labels.map(label => label?.text), ['addmm', undefined]);
});
