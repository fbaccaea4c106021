import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { TranslationBundle } from '@jupyterlab/translation';

import type { Report } from '../report/schema.js';

import { lineDetails, spoken } from './details.js';

const fill = (text: string, ...values: unknown[]): string =>
  text.replace(/%(\d)/g, (_, i: string) => String(values[Number(i) - 1]));
const trans = {
  __: fill,
  _n: (one: string, many: string, n: number) => fill(n === 1 ? one : many, n)
} as unknown as TranslationBundle;

const op = { calls: 1, total_ms: 0, share: 0, flops: 0, device: 'cpu', line: 'this cell:3' };
const report = {
  ops: [
    { ...op, name: 'aten::addmm', self_ms: 9.5, bytes: 3e6, bound: 'compute', module: 'body.0' },
    { ...op, name: 'aten::relu', self_ms: 0.5, bytes: 1e6, bound: 'memory', module: 'body.1' },
    { ...op, name: 'aten::cat', self_ms: 5, bytes: 1, bound: 'memory', module: null, line: 'this cell:33' }
  ],
  modules: [{ path: 'body.0', class_name: 'Linear' }],
  findings: [
    { title: '`Linear`: hot', text: 'long', severity: 'high', modules: ['body.0'] },
    { title: 'Copies', text: 'Copied in `this cell:3`.', severity: 'low' },
    { title: 'Other', text: 'Copied in this cell:33.', severity: 'low' }
  ],
  recommendations: [
    { label: 'Quantize to int8', predicted_speedup: 4 },
    { label: 'Share weights', predicted_speedup: 1 }
  ]
} as unknown as Report;
const line = { source: 'this cell', lineno: 3, text: 'model(x)', ms: 10, share: 0.8, bytes: 2e6 };

test('the details name operators, modules, bytes, the bound and what would help', () => {
  const group = { report, lines: [line], measured: null, run: null };
  const details = lineDetails({ lineno: 3, line, group, stale: false }, trans);
  assert.equal(details.title, '10.0 ms, 80% of the run');
  assert.deepEqual(details.notes, []);
  assert.deepEqual(Object.fromEntries(details.rows.map(row => [row.term, row.texts])), {
    Operators: ['aten::addmm 95%, aten::relu 5%'],
    Modules: ['body.0 (Linear), body.1'],
    Bytes: ['holds up to 2.00 MB', 'its operators read and write 4.00 MB a call'],
    Bound: ['by arithmetic'],
    'What would help': ['Copied in this cell:3.', 'Quantize to int8: predicted 4.0x', 'Linear: hot']
  });
});

test('a line that only calls others says so, and an edited cell, too', () => {
  const calls = { ...line, lineno: 4, self_ms: 1 };
  const group = { report, lines: [calls], measured: null, run: 7 };
  const details = lineDetails({ lineno: 4, line: calls, group, stale: true }, trans);
  assert.match(spoken(details), /cell \[7\].*edited since.*90% of the time is in other lines/);
  assert.match(spoken(details), /Quantize to int8/);
});
