import assert from 'node:assert/strict';
import { test } from 'node:test';

import { moduleRow } from './fixtures.js';
import { neighbour, nodeAt, rectangles, tiles } from './icicleData.js';
import { allExpandable, firstExpanded, moduleTree, visibleRows } from './moduleTree.js';

const TREE = moduleTree([
  moduleRow({ path: '', class_name: 'Net', self_ms: 1 }),
  moduleRow({ path: 'body.0', self_ms: 6 }),
  moduleRow({ path: 'body.1', self_ms: 2 }),
  moduleRow({ path: 'head', self_ms: 1 })
]);

test('a list of layers, which is never called itself, is a branch without figures of its own', () => {
  const body = TREE.children[0];
  assert.equal(body?.path, 'body');
  assert.equal(body?.row, null);
  assert.equal(body?.ms, 8);
  assert.equal(TREE.ms, 10);
});

test('rows have the place among their siblings that a screen reader tells', () => {
  const rows = visibleRows(TREE, new Set(['', 'body']));
  assert.deepEqual(
    rows.map(row => [row.node.path, row.level, row.position, row.siblings, row.expanded]),
    [
      ['', 1, 1, 1, true],
      ['body', 2, 1, 2, true],
      ['body.0', 3, 1, 2, null],
      ['body.1', 3, 2, 2, null],
      ['head', 2, 2, 2, null]
    ]
  );
  assert.equal(visibleRows(TREE, new Set()).length, 1);
});

test('at first, what is most expensive is open, as far as it fits', () => {
  assert.deepEqual(firstExpanded(TREE, 3), new Set(['']));
  assert.deepEqual(firstExpanded(TREE, 9), allExpandable(TREE));
});

test('names out of Object.prototype and names without end are names', () => {
  const deep = Array.from({ length: 5000 }, () => 'a').join('.');
  const tree = moduleTree([moduleRow({ path: '__proto__.constructor' }), moduleRow({ path: deep })]);
  assert.equal(tree.children[0]?.children[0]?.path, '__proto__.constructor');
  let levels = 0;
  for (let node = tree.children[1]; node !== undefined; node = node.children[0]) {
    levels += 1;
  }
  assert.equal(levels, 24);
});

test('rectangles are as wide as the time; a zoom gives the focus the whole width, below what holds it', () => {
  const all = rectangles(TREE);
  const width = (path: string, focus: string) =>
    tiles(nodeAt(all, focus), 100, 0.5)
      .find(tile => tile.node.data.path === path)
      ?.width.toFixed(6);
  assert.equal(width('body.0', ''), '60.000000');
  assert.equal(width('body.0', 'body'), '75.000000');
  assert.equal(width('', 'body'), '100.000000');
  assert.equal(width('head', 'body'), undefined);
  assert.equal(tiles(all, 100, 15).length, 4);
});

test('arrow keys go to what holds a rectangle, to what it holds, and to its neighbours', () => {
  const all = rectangles(TREE);
  const seen = new Set(['', 'body', 'body.0', 'head']);
  const from = (path: string, key: string) => neighbour(nodeAt(all, path), key, seen)?.data.path;
  assert.equal(from('body', 'ArrowDown'), 'body.0');
  assert.equal(from('body', 'ArrowUp'), '');
  assert.equal(from('body', 'ArrowRight'), 'head');
  assert.equal(from('body.0', 'ArrowRight'), undefined);
});
