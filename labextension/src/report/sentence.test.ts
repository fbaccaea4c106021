import assert from 'node:assert/strict';
import { test } from 'node:test';

import { breakdown } from './breakdown.js';
import { moduleRow, op, TRANS } from './fixtures.js';
import { product } from './gain.js';
import { timeGroups } from './groups.js';
import type { Report } from './schema.js';
import { sentence } from './sentence.js';
import { ticks, tries } from './tries.js';

const MODULES = [
  moduleRow({ path: '', class_name: 'Net' }),
  moduleRow({ path: 'a', class_name: 'Linear' }),
  moduleRow({ path: 'b', class_name: 'Linear' })
];
const OPS = [
  op({ module: 'a', self_ms: 40, share: 0.4, bound: 'compute', of_peak: 0.9 }),
  op({ module: 'b', self_ms: 30, share: 0.3, bound: 'compute', of_peak: 0.8 }),
  op({ module: '', name: 'aten::_softmax', self_ms: 10, share: 0.1 }),
  op({ module: null, name: 'aten::copy_', self_ms: 1, share: 0.01 })
];
const STEP = {
  technique: 'int8-dynamic',
  label: 'Quantize to int8',
  options: { layers: 'auto', bits: 8 },
  verdict: 'faster',
  accepted: true,
  undone: false,
  speedup: { low: 1.9, median: 2, high: 2.1 },
  size_ratio: 0.4,
  before_ms: 210,
  after_ms: 100
};

function report(given: Partial<Record<keyof Report, unknown>> = {}): Report {
  return {
    ops: OPS,
    modules: MODULES,
    history: [],
    recommendations: [],
    workload: { model: 'Net', origin: 'call', device: 'cpu', training: false, replayed: true, reason: null },
    environment: { threads: 2, gpus: [] },
    hardware: {},
    trace: { call_ms: 100 },
    latency: { median_ms: 100, low_ms: 99, high_ms: 102, repeats: 20, status: 'measured' },
    ...given
  } as unknown as Report;
}

test('the headline says how long, where, and what most of it is', () => {
  assert.equal(
    sentence(report(), TRANS),
    '`Net` takes 100 ms (95% CI 99.0 to 102) on 2 CPU threads; 70% of it in 2 `Linear` layers, ' +
      'bound by arithmetic, at 86% of what this machine can do.'
  );
});

test('what the steps that stand have brought is in it; what was undone or left out is not', () => {
  const said = (history: unknown[]) => sentence(report({ history, ops: [] }), TRANS);
  assert.match(said([STEP]), /, 2\.0x faster than at first \(95% CI 1\.9 to 2\.1\) and 60% smaller\.$/);
  assert.match(said([{ ...STEP, undone: true }]), /on 2 CPU threads\.$/);
  assert.match(said([{ ...STEP, accepted: false }]), /on 2 CPU threads\.$/);
});

test('what could not be timed says why', () => {
  const latency = { median_ms: null, reason: 'it was interrupted.' };
  assert.equal(sentence(report({ latency }), TRANS), '`Net` could not be timed: it was interrupted.');
});

test('layers group by class, the rest by op or as outside', () => {
  assert.deepEqual(
    timeGroups(OPS, MODULES).map(group => [group.label, group.ms]),
    [
      ['2 Linear', 70],
      ['softmax', 10],
      ['outside any layer', 1]
    ]
  );
});

test('the parts of a call sum to it, also where ops ran side by side', () => {
  const sum = (found: ReturnType<typeof breakdown>) =>
    (found?.parts ?? []).reduce((total, part) => total + part.ms, 0);
  assert.ok(Math.abs(sum(breakdown(report())) - 100) < 1e-9);
  const wide = breakdown(report({ ops: OPS.map(each => ({ ...each, share: each.share * 3 })) }));
  assert.ok(Math.abs(sum(wide) - 100) < 1e-9);
  assert.equal(breakdown(report({ ops: [] })), null);
  assert.equal(breakdown(report({ history: [STEP] }))?.beforeMs, 200);
});

test('a speed-up that cannot be is none', () => {
  assert.equal(product([{ low: 0, median: 1, high: 2 }]), null);
  assert.equal(product([null]), null);
  assert.deepEqual(product([]), { low: 1, median: 1, high: 1 });
});

test('the chart shows what was tried or, before that, what is predicted to help', () => {
  const shown = tries(report({ history: [STEP] }), TRANS);
  assert.deepEqual(shown.rows[0], {
    label: 'Quantize to int8 (bits=8)',
    note: '2.0x faster, kept',
    outcome: 'good',
    middle: 2,
    interval: STEP.speedup
  });
  const recommendations = [
    { label: 'A', predicted_speedup: 3 },
    { label: 'B', predicted_speedup: null }
  ];
  assert.deepEqual(
    tries(report({ recommendations }), TRANS).rows.map(row => [row.label, row.note]),
    [['A', '3.0x predicted']]
  );
});

test('ticks of speed-ups are powers of two, few enough for their labels', () => {
  assert.deepEqual(ticks(0.9, 4.2), [1, 2, 4]);
  assert.ok(ticks(1e-6, 1e6).length <= 7);
});
