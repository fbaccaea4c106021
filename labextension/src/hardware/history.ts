import type { CellRun, LiveFrame, LiveSensor } from '../report/schema.js';

/** The time that the panel shows. */
export const SHOWN_S = 120;

/** Frames may come more often than they are asked for; memory stays bounded all the same. */
const MOST_FRAMES = 300;

export interface IPoint {
  readonly atS: number;
  readonly value: number;
}

/** The frames of the last two minutes. */
export class History {
  add(frame: LiveFrame): void {
    const newest = this.latest;
    if (newest !== null && frame.at_s <= newest.at_s) {
      // the kernel's clock runs on, so this is another kernel
      this._frames = [];
    }
    this._frames.push(frame);
    const fresh = this._frames.findIndex(each => each.at_s > frame.at_s - SHOWN_S);
    this._frames.splice(0, Math.max(fresh, this._frames.length - MOST_FRAMES));
  }

  clear(): void {
    this._frames = [];
  }

  get latest(): LiveFrame | null {
    return this._frames[this._frames.length - 1] ?? null;
  }

  /** What a sensor said, the oldest first; moments without a value are left out. */
  points(sensor: LiveSensor): IPoint[] {
    const points: IPoint[] = [];
    for (const frame of this._frames) {
      const value = frame.sensors.find(each => isSame(each, sensor))?.value ?? null;
      if (value !== null) {
        points.push({ atS: frame.at_s, value });
      }
    }
    return points;
  }

  private _frames: LiveFrame[] = [];
}

export function isSame(a: LiveSensor, b: LiveSensor): boolean {
  return a.key === b.key && a.gpu === b.gpu;
}

/** When a cell ran, as parts of the time that is shown: 0 is its beginning, 1 is now. */
export interface IBand {
  readonly run: CellRun;
  readonly from: number;
  readonly to: number;
}

/** Runs so short that they would not be seen are as wide as this. */
const LEAST_WIDTH = 0.004;

/** The bands of the cells that ran in the time that is shown. */
export function bands(frame: LiveFrame): IBand[] {
  const part = (atS: number): number => 1 - (frame.at_s - atS) / SHOWN_S;
  return frame.cells
    .filter(run => part(run.ended_s ?? frame.at_s) > 0)
    .map(run => {
      const from = Math.max(0, Math.min(part(run.began_s), 1 - LEAST_WIDTH));
      return { run, from, to: Math.max(part(run.ended_s ?? frame.at_s), from + LEAST_WIDTH) };
    });
}
