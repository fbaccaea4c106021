// The figures in words, letter by letter as jupyter_optim/render/format.py writes them: a number reads alike
// in JupyterLab, on GitHub and in a terminal. format.cases.json is tested on both sides.

import type { Interval } from './schema.js';

/** What stands for a value that is not known; never a 0. */
export const UNKNOWN = 'not available';

type Units = ReadonlyArray<readonly [factor: number, unit: string]>;

const TIMES: Units = [
  [1e3, 's'],
  [1, 'ms'],
  [1e-3, 'µs'],
  [1e-6, 'ns']
];

const SIZES: Units = [
  [1e12, 'TB'],
  [1e9, 'GB'],
  [1e6, 'MB'],
  [1e3, 'KB'],
  [1, 'B']
];

const AMOUNTS: Units = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
  [1, '']
];

/** A time given in milliseconds: `111 ms`, `12.3 µs`, `1.50 s`. */
export function duration(ms: number | null): string {
  return scaled(ms, TIMES, 'ms');
}

/** Bytes in decimal units: `90.9 MB`. */
export function size(bytes: number | null): string {
  return scaled(bytes, SIZES, 'B');
}

/** A time with its 95% confidence interval, all in one unit: `111 ms (95% CI 109 to 114)`. */
export function durationInterval(
  median: number | null,
  low: number | null,
  high: number | null
): string {
  if (median === null || low === null || high === null) {
    return duration(median);
  }
  const [scale, unit] = fitting(median, TIMES);
  const [middle, from, to] = [median, low, high].map(ms => significant(ms / scale));
  return `${middle} ${unit} (95% CI ${from} to ${to})`;
}

/** Floating-point operations: `22.4 GFLOP`. */
export function flop(value: number | null): string {
  return value === null ? UNKNOWN : `${scaled(value, AMOUNTS, '')}FLOP`;
}

/** How many: `22,713,216`, or `1.50` where a mean over calls is no whole number. */
export function count(value: number | null): string {
  if (value === null) {
    return UNKNOWN;
  }
  return Math.abs(value - Math.round(value)) < 1e-6
    ? grouped(Math.round(value), 0)
    : significant(value);
}

/** A fraction of 1 as per cent: `83%`, `0.8%`, `<0.1%`. */
export function share(fraction: number | null): string {
  if (fraction === null) {
    return UNKNOWN;
  }
  const percent = fraction * 100;
  const amount = Math.abs(percent);
  if (percent === 0) {
    return '0%';
  }
  if (amount < 0.1) {
    return percent > 0 ? '<0.1%' : '>-0.1%';
  }
  return `${percent.toFixed(amount < 0.95 ? 1 : 0)}%`;
}

/** A speed-up: two decimals near 1, where they matter, and none from 10 on. */
export function ratio(value: number | null): string {
  return value === null ? UNKNOWN : `${factor(value)}x`;
}

/** A speed-up with its 95% confidence interval: `4.2x (4.0 to 4.4)`. */
export function ratioInterval(value: Interval | null): string {
  return value === null
    ? UNKNOWN
    : `${ratio(value.median)} (${factor(value.low)} to ${factor(value.high)})`;
}

/** A ratio of sizes in words: 0.38 is `62% smaller`. */
export function sizeChange(value: number | null): string {
  if (value === null) {
    return '';
  }
  if (Math.abs(value - 1) < 0.005) {
    return 'same size';
  }
  return value < 1 ? `${share(1 - value)} smaller` : `${share(value - 1)} larger`;
}

/** A quality score: four digits, more where it would else be rounded up to a flawless 1. */
export function score(value: number | null): string {
  if (value === null) {
    return UNKNOWN;
  }
  const texts = [4, 5, 6, 7].map(digits => String(Number(value.toPrecision(digits))));
  return texts.find(text => value === 1 || text !== '1') ?? '1';
}

/** Text of at most `width` characters, cut in the middle: both ends of a qualified name tell something. */
export function shorten(text: string, width: number): string {
  if (text.length <= width) {
    return text;
  }
  const tail = Math.floor(((width - 1) * 2) / 3);
  return `${text.slice(0, width - 1 - tail)}…${text.slice(text.length - tail)}`;
}

/** Three significant digits, without an exponent. */
export function significant(value: number): string {
  const rounded = Number(value.toPrecision(3));
  if (rounded === 0) {
    return '0';
  }
  return grouped(rounded, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded)))));
}

function scaled(value: number | null, units: Units, zero: string): string {
  if (value === null) {
    return UNKNOWN;
  }
  if (value === 0) {
    return `0 ${zero}`;
  }
  const [scale, unit] = fitting(value, units);
  return `${unit === 'B' ? grouped(value, 0) : significant(value / scale)} ${unit}`;
}

/** The largest unit in which the value, once rounded, is 1 or more. */
function fitting(value: number, units: Units): readonly [number, string] {
  const rounded = Math.abs(Number(value.toPrecision(3)));
  const found = units.find(([least]) => rounded >= least * (1 - 1e-9));
  return found ?? units[units.length - 1] ?? [1, ''];
}

function factor(value: number): string {
  const amount = Math.abs(value);
  if (amount < 1.495) {
    return value.toFixed(2);
  }
  return amount < 9.95 ? value.toFixed(1) : grouped(value, 0);
}

/** A formatter for each number of decimals: making one takes longer than writing a hundred numbers with it. */
const WRITERS = new Map<number, Intl.NumberFormat>();

// not the reader's locale: the html and the text of the same report use these separators too
function grouped(value: number, decimals: number): string {
  let writer = WRITERS.get(decimals);
  if (writer === undefined) {
    writer = new Intl.NumberFormat('en-US', {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals
    });
    WRITERS.set(decimals, writer);
  }
  return writer.format(value);
}
