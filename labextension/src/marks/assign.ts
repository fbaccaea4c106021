// Which report marks which cell of a notebook.

import type { Line, Report } from '../report/schema.js';

import { splitLines } from './lines.js';
import { allInPlace } from './place.js';
import type { IMarkGroup } from './place.js';

const THIS_CELL = 'this cell';

/** What has to be known of a code cell. */
export interface ICellFacts {
  /** The number in its prompt. */
  readonly count: number | null;
  readonly text: string;
  /** The report in its output. */
  readonly report: Report | null;
}

/**
 * The groups of marks of each cell, by its place in the notebook: first those of its own report, then the newest.
 *
 * @param leastShare - lines with less than this share of the time get no mark.
 */
export function assignMarks(
  cells: ReadonlyArray<ICellFacts>,
  leastShare: number
): ReadonlyArray<ReadonlyArray<IMarkGroup>> {
  const groups = cells.map((): IMarkGroup[] => []);
  for (const holder of newestFirst(cells)) {
    for (const [source, lines] of bySource(holder.report, leastShare)) {
      const own = source === THIS_CELL;
      for (const at of own ? [holder.at] : cellsCalled(source, lines, cells)) {
        const text = cells[at]?.text ?? '';
        const group = {
          report: holder.report,
          lines,
          measured: own ? (holder.report.cell ?? null) : textIfMeasured(lines, text),
          run: own || at === holder.at ? null : holder.count
        };
        groups[at]?.splice(own ? 0 : groups[at].length, 0, group);
      }
    }
  }
  return groups;
}

/** Where all lines are as they were measured, so is the cell: what is edited later is told by this text. */
function textIfMeasured(lines: ReadonlyArray<Line>, text: string): string | null {
  return allInPlace(lines, splitLines(text)) ? text : null;
}

interface IHolder {
  readonly report: Report;
  readonly count: number | null;
  readonly at: number;
}

function newestFirst(cells: ReadonlyArray<ICellFacts>): IHolder[] {
  return cells
    .flatMap(({ report, count }, at) => (report === null ? [] : [{ report, count, at }]))
    .sort((a, b) => (b.count ?? 0) - (a.count ?? 0) || b.at - a.at);
}

function bySource(report: Report, leastShare: number): Map<string, Line[]> {
  const sources = new Map<string, Line[]>();
  for (const line of report.lines) {
    if (line.share >= leastShare && line.share > 0) {
      sources.set(line.source, [...(sources.get(line.source) ?? []), line]);
    }
  }
  return sources;
}

/**
 * The cells that `cell [3]` may mean: those with this number. After they have been run again, and so have another one,
 * the cells in which all these lines stand where they were.
 */
function cellsCalled(
  source: string,
  lines: ReadonlyArray<Line>,
  cells: ReadonlyArray<ICellFacts>
): number[] {
  const number = /^cell \[(\d+)\]$/.exec(source)?.[1];
  if (number === undefined) {
    return [];
  }
  const numbered = indices(cells, cell => cell.count === Number(number) && holdsAny(cell, lines));
  return numbered.length > 0
    ? numbered
    : indices(cells, cell => allInPlace(lines, splitLines(cell.text)));
}

function holdsAny(cell: ICellFacts, lines: ReadonlyArray<Line>): boolean {
  const texts = new Set(splitLines(cell.text));
  return lines.some(line => texts.has(line.text.trim()));
}

function indices(
  cells: ReadonlyArray<ICellFacts>,
  fits: (cell: ICellFacts) => boolean
): number[] {
  return cells.flatMap((cell, i) => (fits(cell) ? [i] : []));
}
