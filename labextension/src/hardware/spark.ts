import type { LiveSensor } from '../report/schema.js';
import { SHOWN_S } from './history.js';
import type { IPoint } from './history.js';

/** A sparkline's own units: it is stretched to the room that it has. */
export const WIDTH = 120;
export const HEIGHT = 32;

/** So that a line at its top or bottom is not cut to half its width. */
const MARGIN = 1.5;

/** So many missed frames are a gap in the line. */
const GAP = 3.5;

/**
 * Where a sparkline's scale ends: where the sensor's does. A kernel's own part of a large machine would be a flat line,
 * so it has a scale of its own.
 */
export function scaleTop(sensor: LiveSensor, points: ReadonlyArray<IPoint>): number {
  const high = Math.max(...points.map(point => point.value), 0);
  if (sensor.key === 'process_cpu') {
    return Math.max(100, roundUp(high));
  }
  return sensor.full === null || sensor.key === 'process_memory'
    ? roundUp(high)
    : Math.max(sensor.full, high);
}

/** The next of 1, 2 and 5 times a power of ten. */
function roundUp(value: number): number {
  if (value <= 0) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(step => step * power).find(top => top >= value * (1 - 1e-9)) ?? value;
}

/** The line through the points, broken where nothing was heard for a while. */
export function linePath(
  points: ReadonlyArray<IPoint>,
  nowS: number,
  everyS: number,
  top: number
): string {
  let path = '';
  let before: IPoint | null = null;
  for (const point of points) {
    const command = before === null || point.atS - before.atS > GAP * everyS ? 'M' : 'L';
    const x = within(1 - (nowS - point.atS) / SHOWN_S) * WIDTH;
    const y = MARGIN + within(1 - point.value / top) * (HEIGHT - 2 * MARGIN);
    path += `${command}${x.toFixed(1)} ${y.toFixed(1)}`;
    before = point;
  }
  return path;
}

function within(part: number): number {
  return Math.min(1, Math.max(0, part));
}
