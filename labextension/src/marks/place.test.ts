import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Line, Report } from '../report/schema.js';

import { assignMarks } from './assign.js';
import type { ICellFacts } from './assign.js';
import { alignLines } from './lines.js';
import { placeMarks } from './place.js';

const CELL = '%%optimize\nwith torch.no_grad():\n    x = prepare(images)\n    y = model(x)\ny.shape';
const DEFINING = 'class Net(nn.Module):\n    def forward(self, x):\n        return self.body(x)';

function line(source: string, lineno: number, text: string, share: number): Line {
  return { source, lineno, text, ms: 100 * share, share };
}

/** A report as far as marks look at it. */
function reportOf(lines: ReadonlyArray<Line>, cell: string | null = CELL): Report {
  return { lines, cell } as unknown as Report;
}

const REPORT = reportOf([
  line('this cell', 4, 'y = model(x)', 0.8),
  line('cell [2]', 3, 'return self.body(x)', 0.7),
  line('this cell', 3, 'x = prepare(images)', 0.1),
  line('this cell', 5, 'y.shape', 0.001),
  line('tools.py', 3, 'return self.body(x)', 0.7)
]);

function marked(cells: ReadonlyArray<ICellFacts>, now: ReadonlyArray<string>): string[][] {
  return assignMarks(cells, 0.01).map((groups, i) =>
    placeMarks(groups, now[i] ?? '').map(
      ({ lineno, stale }) => `${lineno}${stale ? ' stale' : ''}`
    )
  );
}

function notebook(defining = DEFINING, cell = CELL, counts = [2, 3]): ICellFacts[] {
  return [
    { count: counts[0] ?? null, text: defining, report: null },
    { count: counts[1] ?? null, text: cell, report: REPORT }
  ];
}

test('lines of the cell and of the cell that it calls are marked, from the least share on', () => {
  assert.deepEqual(marked(notebook(), [DEFINING, CELL]), [['3'], ['3', '4']]);
});

test('marks follow their lines, fade, and leave the line that was edited', () => {
  const above = CELL.replace('with', 'import time\nwith');
  assert.deepEqual(marked(notebook(), [DEFINING, above])[1], ['4 stale', '5 stale']);
  const edited = CELL.replace('model(x)', 'model(x + 1)');
  assert.deepEqual(marked(notebook(), [DEFINING, edited])[1], ['3 stale']);
  // and are as before once that is undone
  assert.deepEqual(marked(notebook(), [DEFINING, CELL])[1], ['3', '4']);
});

test('a called cell is known by its number, or else by all of its lines', () => {
  assert.deepEqual(marked(notebook(DEFINING, CELL, [9, 3]), [DEFINING, CELL])[0], ['3']);
  const other = `import os\n${DEFINING}`;
  assert.deepEqual(marked(notebook(other, CELL, [9, 3]), [other, CELL])[0], []);
  // the number alone means nothing after a restart
  assert.deepEqual(marked(notebook('print(1)', CELL, [2, 3]), ['print(1)', CELL])[0], []);
});

test('a called cell that was edited before the notebook was opened has its lines found again', () => {
  const other = `import os\n${DEFINING}`;
  assert.deepEqual(marked(notebook(other), [other, CELL])[0], ['4 stale']);
});

test('without its output a cell marks nothing', () => {
  const cells = notebook().map(cell => ({ ...cell, report: null }));
  assert.deepEqual(marked(cells, [DEFINING, CELL]), [[], []]);
});

test('of two reports on one line, its own and then the newest stays', () => {
  const later = reportOf([line('cell [2]', 3, 'return self.body(x)', 0.2)]);
  const cells = [...notebook(), { count: 4, text: '%%optimize\nmodel(z)', report: later }];
  const [placed] = placeMarks(assignMarks(cells, 0.01)[0] ?? [], DEFINING);
  assert.equal(placed?.line.share, 0.2);
  assert.equal(placed.group.run, 4);
});

test('a report that contradicts its own cell marks nothing', () => {
  const odd = reportOf([
    line('this cell', 99, 'y = model(x)', 0.8),
    line('this cell', -1, '', 0.8),
    line('cell [2]', 3, '', 0.8)
  ]);
  const cells = [{ count: 3, text: CELL, report: odd }];
  assert.deepEqual(marked(cells, [CELL]), [[]]);
});

test('lines are aligned over what was inserted, removed and moved', () => {
  assert.deepEqual(alignLines(['a', 'b', 'c'], ['a', 'x', 'b', 'c']), [0, 2, 3]);
  assert.deepEqual(alignLines(['a', 'b', 'c'], ['a', 'c']), [0, null, 1]);
  assert.deepEqual(alignLines(['a', 'b', 'c'], ['c', 'a', 'b']), [1, 2, null]);
  assert.deepEqual(alignLines([], ['a']), []);
});
