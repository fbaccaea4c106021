// What a report may hold at most: a notebook from elsewhere must not make the page stand still.

const MOST_VALUES = 500_000;
const MOST_ITEMS = 20_000;
const LONGEST_TEXT = 100_000;
const DEEPEST = 16;

/** Path of the first value that is too large, or null if none is. Walks without recursion, whatever the depth. */
export function firstExcess(data: unknown): string | null {
  const waiting: [value: unknown, path: string, depth: number][] = [[data, 'report', 0]];
  let seen = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [value, path, depth] = next;
    seen += 1;
    if (typeof value === 'string' && value.length > LONGEST_TEXT) {
      return path;
    }
    if (typeof value !== 'object' || value === null) {
      continue;
    }
    const names = Object.keys(value);
    if (names.length > MOST_ITEMS || depth >= DEEPEST || seen > MOST_VALUES) {
      return path;
    }
    for (const name of names) {
      const item: unknown = (value as Record<string, unknown>)[name];
      // numbers cannot be too large, and are most of a report
      if (typeof item === 'string' || (typeof item === 'object' && item !== null)) {
        waiting.push([item, depth < 2 ? `${path}.${name}` : path, depth + 1]);
      } else {
        seen += 1;
      }
    }
  }
  return null;
}
