import type { ModuleRow } from './schema.js';

/** Colours of the style sheet's series; what has none of them is grey. */
const SERIES = 5;

/** For the classes that take most time, the number of their colour. */
export function classSeries(rows: ReadonlyArray<ModuleRow>): ReadonlyMap<string, number> {
  const spent = new Map<string, number>();
  for (const row of rows) {
    spent.set(row.class_name, (spent.get(row.class_name) ?? 0) + Math.max(0, row.self_ms));
  }
  const dearest = [...spent].sort((a, b) => b[1] - a[1]).filter(([, ms]) => ms > 0);
  return new Map(dearest.slice(0, SERIES).map(([name], i) => [name, i]));
}
