// What the steps that stand have brought, as jupyter_optim/render/headline.py reckons it.

import type { Interval, Report, StepRecord } from './schema.js';

/** What no ratio of times can be. */
const IMPOSSIBLE = 1e15;

export interface IGain {
  readonly speedup: Interval | null;
  /** Weight bytes now over weight bytes at first. */
  readonly sizeRatio: number | null;
  /** Time of a call at first, at the machine's present speed. */
  readonly beforeMs: number | null;
}

/** How the model compares to what it was at first; null if it is as it was. */
export function gain({ history, latency }: Report): IGain | null {
  const steps = history.filter(step => step.accepted && !step.undone);
  if (steps.length === 0) {
    return null;
  }
  const speedup = product(steps.map(step => step.speedup));
  const nowMs = latency.median_ms ?? steps[steps.length - 1]?.after_ms ?? null;
  const ratios = steps.flatMap(step => (step.size_ratio === null ? [] : [step.size_ratio]));
  return {
    speedup,
    sizeRatio: ratios.length > 0 ? ratios.reduce((a, b) => a * b) : null,
    beforeMs:
      speedup !== null && nowMs !== null ? nowMs * speedup.median : (steps[0]?.before_ms ?? null)
  };
}

/** The speed-up of steps that were each timed against the one before; null if one was not timed. */
export function product(speedups: ReadonlyArray<Interval | null>): Interval | null {
  let [low, median, high] = [1, 1, 1];
  for (const each of speedups) {
    if (each === null || ![each.low, each.median, each.high].every(possible)) {
      return null;
    }
    [low, median, high] = [low * each.low, median * each.median, high * each.high];
  }
  const [least, middle, most] = [low, median, high].sort((a, b) => a - b) as [number, number, number];
  return possible(least) && possible(most) ? { low: least, median: middle, high: most } : null;
}

/** Whether a step's figures can be drawn: a report may hold any number. */
export function possible(value: number): boolean {
  return value >= 1 / IMPOSSIBLE && value <= IMPOSSIBLE;
}

/** Whether the model carries the step now. */
export function state(step: StepRecord): 'left out' | 'undone' | 'kept' {
  return !step.accepted ? 'left out' : step.undone ? 'undone' : 'kept';
}
