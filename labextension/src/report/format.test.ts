import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import * as format from './format.js';

type Name = 'duration' | 'size' | 'count' | 'share' | 'ratio' | 'flop' | 'score';

const CASES = JSON.parse(
  readFileSync(new URL('../../src/report/format.cases.json', import.meta.url), 'utf8')
) as Record<Name, [number, string][]>;

for (const name of Object.keys(CASES) as Name[]) {
  test(`${name} writes what Python writes`, () => {
    for (const [value, text] of CASES[name]) {
      assert.equal(format[name](value), text);
    }
  });
  test(`${name} says of the unknown that it is`, () => {
    assert.equal(format[name](null), format.UNKNOWN);
  });
}
