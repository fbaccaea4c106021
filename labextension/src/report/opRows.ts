// The rows of the table of operators: each by itself or summed, sorted, filtered.

import type { Op } from './schema.js';
import { opName } from './names.js';

export interface IOpRow {
  readonly key: string;
  readonly name: string;
  readonly fullName: string;
  readonly module: string | null;
  readonly line: string | null;
  readonly device: string;
  readonly dtype: string | null;
  readonly calls: number;
  readonly self: number;
  readonly share: number;
  readonly flops: number | null;
  readonly bytes: number | null;
  readonly bound: string | null;
  readonly ofPeak: number | null;
  /** All words that the filter looks in. */
  readonly words: string;
}

export type OpColumn = Exclude<keyof IOpRow, 'key' | 'fullName' | 'words'>;

export interface ISorting {
  readonly column: OpColumn;
  readonly descending: boolean;
}

const TEXT: ReadonlySet<OpColumn> = new Set(['name', 'module', 'line', 'device', 'dtype', 'bound']);

// 10 stands after 9, also within a name
const COLLATOR = new Intl.Collator('en', { numeric: true });

/** One row for each operator of each module. */
export function opRows(ops: ReadonlyArray<Op>): IOpRow[] {
  return ops.map((op, i) =>
    searchable({
      key: String(i),
      name: opName(op.name),
      fullName: op.name,
      module: op.module,
      line: op.line,
      device: op.device,
      dtype: op.dtype ?? null,
      calls: op.calls,
      self: op.self_ms,
      share: op.share,
      flops: op.flops,
      bytes: op.bytes,
      bound: op.bound,
      ofPeak: op.of_peak ?? null
    })
  );
}

/** One row for each operator and device, over all modules. */
export function summedRows(rows: ReadonlyArray<IOpRow>): IOpRow[] {
  const sums = new Map<string, IOpRow>();
  for (const row of rows) {
    const key = JSON.stringify([row.fullName, row.device]);
    const before = sums.get(key);
    sums.set(key, before === undefined ? alone(row, key) : added(before, row));
  }
  return [...sums.values()].map(searchable);
}

/** What a click on a column's head asks for next. */
export function nextSorting(now: ISorting, column: OpColumn): ISorting {
  return now.column === column
    ? { column, descending: !now.descending }
    : { column, descending: !TEXT.has(column) };
}

/** Rows in order; what is not known stands last either way. */
export function sortedRows(rows: ReadonlyArray<IOpRow>, sorting: ISorting): IOpRow[] {
  const { column, descending } = sorting;
  const sign = descending ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [a, b] = [one[column], other[column]];
    if (a === null || b === null) {
      return Number(a === null) - Number(b === null);
    }
    return typeof a === 'number' && typeof b === 'number'
      ? sign * (a - b)
      : sign * COLLATOR.compare(String(a), String(b));
  });
}

/** The rows that have every word of the query, in any of their names. */
export function filteredRows(rows: ReadonlyArray<IOpRow>, query: string): ReadonlyArray<IOpRow> {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return words.length === 0
    ? rows
    : rows.filter(row => words.every(word => row.words.includes(word)));
}

function searchable(row: Omit<IOpRow, 'words'>): IOpRow {
  const words = [row.fullName, row.module, row.line, row.device, row.dtype, row.bound];
  return { ...row, words: words.join('\n').toLowerCase() };
}

function alone(row: IOpRow, key: string): IOpRow {
  return { ...row, key, module: null, line: null, dtype: null, bound: null, ofPeak: null };
}

function added(before: IOpRow, row: IOpRow): IOpRow {
  return {
    ...before,
    calls: before.calls + row.calls,
    self: before.self + row.self,
    share: before.share + row.share,
    flops: sum(before.flops, row.flops),
    bytes: sum(before.bytes, row.bytes)
  };
}

function sum(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : a + b;
}
