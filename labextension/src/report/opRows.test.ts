import assert from 'node:assert/strict';
import { test } from 'node:test';

import { op } from './fixtures.js';
import { filteredRows, nextSorting, opRows, sortedRows, summedRows } from './opRows.js';

const ROWS = opRows([
  op({ name: 'aten::addmm', module: 'layer.10', self_ms: 2, flops: 10 }),
  op({ name: 'aten::addmm', module: 'layer.9', self_ms: 5, flops: null }),
  op({ name: 'aten::gelu', module: 'layer.2', self_ms: 3, flops: 30, device: 'cuda:0' })
]);

test('numbers sort by size, names as people count, and what is unknown stands last either way', () => {
  const modules = (column: 'self' | 'module' | 'flops', descending: boolean) =>
    sortedRows(ROWS, { column, descending }).map(row => row.module);
  assert.deepEqual(modules('self', true), ['layer.9', 'layer.2', 'layer.10']);
  assert.deepEqual(modules('module', false), ['layer.2', 'layer.9', 'layer.10']);
  assert.deepEqual(modules('flops', true), ['layer.2', 'layer.10', 'layer.9']);
  assert.deepEqual(modules('flops', false), ['layer.10', 'layer.2', 'layer.9']);
});

test('a second click turns the order round; numbers begin with the largest, names with A', () => {
  const first = nextSorting({ column: 'self', descending: true }, 'name');
  assert.deepEqual(first, { column: 'name', descending: false });
  assert.deepEqual(nextSorting(first, 'name'), { column: 'name', descending: true });
  assert.deepEqual(nextSorting(first, 'calls'), { column: 'calls', descending: true });
});

test('the filter wants every word, in any of the names, in any case', () => {
  const found = (query: string) => filteredRows(ROWS, query).map(row => row.module);
  assert.deepEqual(found('ADDMM layer.9'), ['layer.9']);
  assert.deepEqual(found('cuda'), ['layer.2']);
  assert.deepEqual(found('  '), ['layer.10', 'layer.9', 'layer.2']);
  assert.deepEqual(found('.*'), []);
});

test('summed rows keep the sums, and what is known of them', () => {
  const sums = summedRows(ROWS);
  assert.deepEqual(
    sums.map(row => [row.name, row.calls, row.self, row.flops, row.module]),
    [
      ['aten::addmm', 2, 7, 10, null],
      ['aten::gelu', 1, 3, 30, null]
    ]
  );
  assert.deepEqual(filteredRows(sums, 'layer'), []);
});
