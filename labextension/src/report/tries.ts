// What was tried, or could be, as rows of a chart: the choice of jupyter_optim/render/tries.py.

import type { TranslationBundle } from '@jupyterlab/translation';

import * as format from './format.js';
import { possible, state } from './gain.js';
import { stepLabel } from './names.js';
import type { Interval, Report, StepRecord } from './schema.js';

const ROWS = 5;
const WORTHWHILE = 1.02;
const BAD: ReadonlyArray<StepRecord['verdict']> = ['slower', 'quality lost', 'failed'];

export interface ITry {
  readonly label: string;
  readonly note: string;
  readonly outcome: 'good' | 'bad' | 'idle';
  readonly middle: number | null;
  /** Null for a prediction. */
  readonly interval: Interval | null;
}

export interface ITries {
  readonly measured: boolean;
  readonly rows: ReadonlyArray<ITry>;
  /** How many more there are in the tables. */
  readonly more: number;
}

/** The steps that were tried, if any; else the remedies that should make the model faster. */
export function tries({ history, recommendations }: Report, trans: TranslationBundle): ITries {
  if (history.length > 0) {
    const order = history
      .map((_, i) => i)
      .sort((a, b) => rank(history[a]) - rank(history[b]) || b - a)
      .slice(0, ROWS);
    const rows = history.filter((_, i) => order.includes(i)).map(step => tried(step, trans));
    return { measured: true, rows, more: history.length - rows.length };
  }
  const rows = recommendations
    .flatMap(each => {
      const speedup = each.predicted_speedup;
      return speedup !== null && speedup > WORTHWHILE && possible(speedup)
        ? [
            {
              label: each.label,
              note: trans.__('%1 predicted', format.ratio(speedup)),
              outcome: 'good' as const,
              middle: speedup,
              interval: null
            }
          ]
        : [];
    })
    .slice(0, ROWS);
  return { measured: false, rows, more: recommendations.length - rows.length };
}

function rank(step: StepRecord | undefined): number {
  return step !== undefined && state(step) === 'kept' ? 0 : 1;
}

function tried(step: StepRecord, trans: TranslationBundle): ITry {
  const { speedup, verdict } = step;
  const drawn =
    speedup !== null && [speedup.low, speedup.median, speedup.high].every(possible) ? speedup : null;
  const note = step.accepted ? `${verdict}, ${stateWords(step, trans)}` : verdict;
  return {
    label: stepLabel(step),
    note:
      drawn === null
        ? note
        : `${format.ratio(drawn.median)}${verdict === 'faster' ? ' ' : ', '}${note}`,
    outcome: state(step) === 'kept' ? 'good' : BAD.includes(verdict) ? 'bad' : 'idle',
    middle: drawn?.median ?? null,
    interval: drawn
  };
}

export function stateWords(step: StepRecord, trans: TranslationBundle): string {
  return { 'left out': trans.__('left out'), undone: trans.__('undone'), kept: trans.__('kept') }[
    state(step)
  ];
}

/** Speed-ups to mark on the axis: 1 and powers of 2 about it, at most six. */
export function ticks(low: number, high: number): number[] {
  const first = Math.ceil(Math.log2(low) - 1e-9);
  const last = Math.floor(Math.log2(high) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first + 1) / 6));
  const found: number[] = [];
  for (let power = first; power <= last; power++) {
    if (power % stride === 0) {
      found.push(2 ** power);
    }
  }
  return found;
}
