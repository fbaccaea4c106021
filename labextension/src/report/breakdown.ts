// What a call consists of, as jupyter_optim/render/breakdown.py divides it: one colour, one thing.

import { gain } from './gain.js';
import { OUTSIDE, timeGroups } from './groups.js';
import type { Report } from './schema.js';

const NAMED = 5;

export type PartKind = 'group' | 'other' | 'between';

export interface IPart {
  /** The group's label; empty for what is no group. */
  readonly label: string;
  readonly kind: PartKind;
  readonly ms: number;
  readonly share: number;
}

export interface IBreakdown {
  /** Largest first; then the other ops, and what is in no op. Their `ms` sum to `nowMs`. */
  readonly parts: ReadonlyArray<IPart>;
  readonly nowMs: number;
  /** Time of a call before any change; null if nothing was changed. */
  readonly beforeMs: number | null;
}

/** The parts of a call, or null if they are not known. */
export function breakdown(report: Report): IBreakdown | null {
  const nowMs = [report.latency.median_ms, report.trace.call_ms].find(
    ms => ms !== null && ms > 0
  );
  const groups = timeGroups(report.ops, report.modules).filter(group => group.share > 0);
  if (nowMs === undefined || nowMs === null || groups.length === 0) {
    return null;
  }
  // ops that ran side by side may sum to more than the call
  const whole = Math.max(1, sum(groups.map(group => group.share)));
  const named = groups.filter(group => group.label !== OUTSIDE).slice(0, NAMED);
  const rest = groups.filter(group => !named.includes(group));
  const part = (label: string, kind: PartKind, share: number): IPart => ({
    label,
    kind,
    share,
    ms: share * nowMs
  });
  const inOps = sum(groups.map(group => group.share / whole));
  return {
    parts: [
      ...named.map(group => part(group.label, 'group', group.share / whole)),
      part('', 'other', sum(rest.map(group => group.share / whole))),
      part('', 'between', Math.max(0, 1 - inOps))
    ].filter(each => each.ms > 0),
    nowMs,
    beforeMs: gain(report)?.beforeMs ?? null
  };
}

function sum(values: ReadonlyArray<number>): number {
  return values.reduce((total, value) => total + value, 0);
}
