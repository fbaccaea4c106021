// Where the ops stand under the machine's limits, as jupyter_optim/render/limits_figure.py draws them.

import type { Op, Report } from './schema.js';

const OPS = 24;
const ROOFS = 3;
const ALWAYS = new Set(['tf32', 'bfloat16', 'int8']);

export interface IPoint {
  readonly op: Op;
  /** Operations for each byte. */
  readonly intensity: number;
  /** Operations a second. */
  readonly rate: number;
}

export interface IRoof {
  readonly name: string;
  readonly rate: number;
}

export interface IRoofline {
  /** Those that take longest, the longest first. */
  readonly points: ReadonlyArray<IPoint>;
  /** The lowest first. */
  readonly roofs: ReadonlyArray<IRoof>;
  readonly bandwidth: number;
  readonly intensities: readonly [number, number];
  readonly rates: readonly [number, number];
}

/** The chart's data, or null if the machine's peaks or the ops' work are not known. */
export function roofline({ ops, peaks }: Report): IRoofline | null {
  const bandwidth = peaks?.bytes_per_s ?? null;
  const points = ops
    .flatMap(op =>
      op.flops && op.bytes && op.self_ms > 0
        ? [{ op, intensity: op.flops / op.bytes, rate: op.flops / (op.self_ms / 1e3) }]
        : []
    )
    .filter(point => point.intensity > 0 && point.rate > 0)
    .sort((a, b) => b.op.self_ms - a.op.self_ms)
    .slice(0, OPS);
  const roofs = bandwidth === null ? [] : chosenRoofs(peaks?.flops_per_s ?? {}, points);
  if (bandwidth === null || bandwidth <= 0 || points.length === 0 || roofs.length === 0) {
    return null;
  }
  const top = Math.max(...roofs.map(roof => roof.rate));
  const xs = points.map(point => point.intensity);
  const ys = points.map(point => point.rate);
  const lowest = Math.min(0.05, ...xs);
  return {
    points,
    roofs,
    bandwidth,
    intensities: [lowest, Math.max((top / bandwidth) * 2, ...xs) * 1.5],
    rates: [Math.min(...ys, bandwidth * lowest) / 2, Math.max(top, ...ys) * 4]
  };
}

function chosenRoofs(
  rates: { readonly [name: string]: number },
  points: ReadonlyArray<IPoint>
): IRoof[] {
  const used = new Set(points.map(point => point.op.dtype));
  const all = Object.entries(rates)
    .filter(([, rate]) => rate > 0)
    .map(([name, rate]) => ({ name, rate }));
  const known = all.filter(roof => used.has(roof.name) || ALWAYS.has(roof.name));
  return (known.length > 0 ? known : all)
    .sort((a, b) => Number(used.has(b.name)) - Number(used.has(a.name)) || a.rate - b.rate)
    .slice(0, ROOFS)
    .sort((a, b) => a.rate - b.rate);
}
