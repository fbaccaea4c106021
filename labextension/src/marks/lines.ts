// Where the lines of a text are, once it has been edited.

/** Beyond this many comparisons, the lines between the first and the last change count as edited. */
const MOST_COMPARISONS = 250_000;

/** Compared without their indentation, as reports keep the text of lines. */
export function splitLines(text: string): string[] {
  return text.split('\n').map(line => line.trim());
}

/**
 * For each line of `before` its place in `after`, or null if it is gone: a longest common subsequence, so that a line
 * that moved down by others above it is found again.
 */
export function alignLines(
  before: ReadonlyArray<string>,
  after: ReadonlyArray<string>
): Array<number | null> {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) {
    head += 1;
  }
  let tail = 0;
  while (
    tail < shorter - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) {
    tail += 1;
  }
  const middle = alignMiddle(
    before.slice(head, before.length - tail),
    after.slice(head, after.length - tail)
  );
  return [
    ...before.slice(0, head).map((_, i) => i),
    ...middle.map(place => (place === null ? null : place + head)),
    ...before.slice(before.length - tail).map((_, i) => after.length - tail + i)
  ];
}

function alignMiddle(
  before: ReadonlyArray<string>,
  after: ReadonlyArray<string>
): Array<number | null> {
  const places = before.map((): number | null => null);
  if (before.length * after.length > MOST_COMPARISONS) {
    return places;
  }
  const lengths = commonLengths(before, after);
  const at = (i: number, j: number): number => lengths[i]?.[j] ?? 0;
  let i = 0;
  let j = 0;
  while (i < before.length && j < after.length) {
    if (before[i] === after[j]) {
      places[i] = j;
      i += 1;
      j += 1;
    } else if (at(i + 1, j) >= at(i, j + 1)) {
      i += 1;
    } else {
      j += 1;
    }
  }
  return places;
}

/** `[i][j]`: how many lines `before` from `i` on and `after` from `j` on have in common, in order. */
function commonLengths(
  before: ReadonlyArray<string>,
  after: ReadonlyArray<string>
): number[][] {
  const lengths = Array.from({ length: before.length + 1 }, () =>
    new Array<number>(after.length + 1).fill(0)
  );
  for (let i = before.length - 1; i >= 0; i -= 1) {
    const row = lengths[i] ?? [];
    const below = lengths[i + 1] ?? [];
    for (let j = after.length - 1; j >= 0; j -= 1) {
      row[j] =
        before[i] === after[j]
          ? (below[j + 1] ?? 0) + 1
          : Math.max(below[j] ?? 0, row[j + 1] ?? 0);
    }
  }
  return lengths;
}
