// From marks of the text that was measured to lines of the text that the editor shows.

import type { Line, Report } from '../report/schema.js';

import { alignLines, splitLines } from './lines.js';

/** What one report knows of one cell's lines. */
export interface IMarkGroup {
  readonly report: Report;
  readonly lines: ReadonlyArray<Line>;
  /** The cell's text when it was measured; null if the report does not hold it. */
  readonly measured: string | null;
  /** The number of the cell that was run for it; null if it is this very cell, or has no number. */
  readonly run: number | null;
}

/** A mark, and the line that carries it. */
export interface IPlacedMark {
  /** Counted from 1, as the editor counts. */
  readonly lineno: number;
  readonly line: Line;
  readonly group: IMarkGroup;
  /** Whether the cell has been edited since. */
  readonly stale: boolean;
}

/** The marks of a cell with this text, by line. Of two on one line, that of the first group stays. */
export function placeMarks(
  groups: ReadonlyArray<IMarkGroup>,
  text: string
): ReadonlyArray<IPlacedMark> {
  const now = splitLines(text);
  const placed = new Map<number, IPlacedMark>();
  for (const group of groups) {
    for (const mark of placeGroup(group, text, now)) {
      if (!placed.has(mark.lineno)) {
        placed.set(mark.lineno, mark);
      }
    }
  }
  return [...placed.values()].sort((a, b) => a.lineno - b.lineno);
}

/** Whether each line of the group stands where the report says. */
export function allInPlace(lines: ReadonlyArray<Line>, now: ReadonlyArray<string>): boolean {
  return lines.length > 0 && lines.every(line => stands(line, now, line.lineno));
}

function placeGroup(
  group: IMarkGroup,
  text: string,
  now: ReadonlyArray<string>
): ReadonlyArray<IPlacedMark> {
  const stale =
    group.measured === null
      ? !allInPlace(group.lines, now)
      : group.measured.trimEnd() !== text.trimEnd();
  const linenos = stale ? found(group, now) : group.lines.map(line => line.lineno);
  return group.lines.flatMap((line, i) => {
    const lineno = linenos[i] ?? null;
    return lineno !== null && stands(line, now, lineno) ? [{ lineno, line, group, stale }] : [];
  });
}

function found(group: IMarkGroup, now: ReadonlyArray<string>): Array<number | null> {
  if (group.measured === null) {
    return nearest(group.lines, now);
  }
  const places = alignLines(splitLines(group.measured), now);
  return group.lines.map(line => {
    const place = places[line.lineno - 1] ?? null;
    return place === null ? null : place + 1;
  });
}

/** Without the text of the whole cell: the next line of the same text, in order. */
function nearest(lines: ReadonlyArray<Line>, now: ReadonlyArray<string>): Array<number | null> {
  const linenos = lines.map((): number | null => null);
  let moved = 0;
  let last = 0;
  for (const [line, i] of lines
    .map((line, i) => [line, i] as const)
    .sort(([a], [b]) => a.lineno - b.lineno)) {
    const near = (lineno: number): number => Math.abs(lineno - line.lineno - moved);
    const fitting = now
      .map((_, at) => at + 1)
      .filter(lineno => lineno > last && stands(line, now, lineno))
      .sort((a, b) => near(a) - near(b));
    const lineno = fitting[0];
    if (lineno !== undefined) {
      linenos[i] = lineno;
      moved = lineno - line.lineno;
      last = lineno;
    }
  }
  return linenos;
}

function stands(line: Line, now: ReadonlyArray<string>, lineno: number): boolean {
  const text = line.text.trim();
  return text !== '' && now[lineno - 1] === text;
}
