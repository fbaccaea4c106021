import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { scaleLinear } from 'd3-scale';
import { area, curveStepAfter, line } from 'd3-shape';

import { Chart } from './chart.js';
import type { ITip } from './chart.js';
import * as format from './format.js';
import { stepped } from './keys.js';
import { MemoryAtPeak, MemoryHolders } from './measured.js';
import type { HeldAt, Report } from './schema.js';

const HEIGHT = 230;
const LEFT = 66;
const BOTTOM = 26;
const TOP = 22;

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** The memory over a call, and what holds it when most is held. */
export function MemoryView({ report, trans }: IProps): React.ReactElement {
  const points = report.memory.timeline ?? [];
  return (
    <>
      {points.length > 1 && (
        <Chart
          title={trans.__('Memory held during one call')}
          note={trans.__('Weights and inputs included. Arrow keys go along the curve.')}
          table={{
            columns: [trans.__('Time'), trans.__('Memory')],
            rows: points.map(point => [format.duration(point.ms), format.size(point.bytes)])
          }}
          trans={trans}
          height={HEIGHT}
          draw={(width, tell) => (
            <Timeline
              points={points}
              weights={report.memory.weights_bytes}
              width={width}
              tell={tell}
              trans={trans}
            />
          )}
        />
      )}
      <MemoryAtPeak report={report} trans={trans} />
      <MemoryHolders report={report} trans={trans} />
    </>
  );
}

function Timeline({
  points,
  weights,
  width,
  tell,
  trans
}: {
  readonly points: ReadonlyArray<HeldAt>;
  readonly weights: number | null;
  readonly width: number;
  readonly tell: (tip: ITip | null) => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const [at, setAt] = React.useState<number | null>(null);
  const most = Math.max(...points.map(point => point.bytes), 1);
  const end = points[points.length - 1]?.ms || 1;
  const x = scaleLinear().domain([0, end]).range([LEFT, width - 10]);
  // from zero: what the call itself adds must not look larger than it is
  const y = scaleLinear().domain([0, most * 1.02]).range([HEIGHT - BOTTOM, TOP]);
  const peak = points.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  const here = at === null ? peak : (points[at] ?? peak);
  const show = (next: number): void => {
    const point = points[next];
    if (point !== undefined) {
      setAt(next);
      tell({
        x: x(point.ms),
        y: Math.min(y(point.bytes) + 10, HEIGHT - 60),
        lines: [format.size(point.bytes), trans.__('after %1', format.duration(point.ms))]
      });
    }
  };
  const curve = {
    area: area<HeldAt>(point => x(point.ms), y(0), point => y(point.bytes)).curve(curveStepAfter),
    line: line<HeldAt>(point => x(point.ms), point => y(point.bytes)).curve(curveStepAfter)
  };
  return (
    <svg
      width={width}
      height={HEIGHT}
      role="slider"
      tabIndex={0}
      aria-label={trans.__('Memory held during one call')}
      aria-valuemin={0}
      aria-valuemax={points.length - 1}
      aria-valuenow={at ?? points.indexOf(peak)}
      aria-valuetext={trans.__('%1 after %2', format.size(here.bytes), format.duration(here.ms))}
      onFocus={() => show(at ?? points.indexOf(peak))}
      onKeyDown={event => {
        const now = at ?? points.indexOf(peak);
        const next =
          stepped(event.key, now, points.length, 'ArrowLeft', 'ArrowRight') ??
          stepped(event.key, now, points.length, 'ArrowDown', 'ArrowUp');
        if (next !== null) {
          event.preventDefault();
          show(next);
        }
      }}
      onMouseMove={event => {
        const box = event.currentTarget.getBoundingClientRect();
        show(lastBefore(points, x.invert(event.clientX - box.left)));
      }}
      onMouseLeave={() => setAt(null)}
      onBlur={() => setAt(null)}
    >
      <g aria-hidden="true">
        {y.ticks(4).map(value => (
          <g key={value}>
            <line className="jp-JupyterOptimReport-grid" x1={LEFT} x2={width - 10} y1={y(value)} y2={y(value)} />
            <text x={LEFT - 6} y={y(value) + 4} textAnchor="end" className="jp-JupyterOptimReport-small">
              {format.size(value)}
            </text>
          </g>
        ))}
        <path className="jp-JupyterOptimReport-area" d={curve.area(points) ?? ''} />
        <path className="jp-JupyterOptimReport-curve" d={curve.line(points) ?? ''} />
        <Weights weights={weights} most={most} y={y} width={width} trans={trans} />
        <Peak point={peak} x={x} y={y} width={width} trans={trans} />
        {at !== null && (
          <line className="jp-JupyterOptimReport-cursor" x1={x(here.ms)} x2={x(here.ms)} y1={TOP} y2={HEIGHT - BOTTOM} />
        )}
        <text x={LEFT} y={HEIGHT - 8} className="jp-JupyterOptimReport-small">
          0
        </text>
        <text x={width - 10} y={HEIGHT - 8} textAnchor="end" className="jp-JupyterOptimReport-small">
          {format.duration(end)}
        </text>
      </g>
    </svg>
  );
}

type Scale = (value: number) => number;

function Weights({
  weights,
  most,
  y,
  width,
  trans
}: {
  readonly weights: number | null;
  readonly most: number;
  readonly y: Scale;
  readonly width: number;
  readonly trans: TranslationBundle;
}): React.ReactElement | null {
  if (weights === null || weights <= 0 || weights >= most) {
    return null;
  }
  const at = y(weights);
  return (
    <>
      <line className="jp-JupyterOptimReport-weights" x1={LEFT} x2={width - 10} y1={at} y2={at} />
      <text
        x={width - 14}
        y={at + 20 < HEIGHT - BOTTOM ? at + 14 : at - 5}
        textAnchor="end"
        className="jp-JupyterOptimReport-small"
      >
        {trans.__('weights %1', format.size(weights))}
      </text>
    </>
  );
}

function Peak({
  point,
  x,
  y,
  width,
  trans
}: {
  readonly point: HeldAt;
  readonly x: Scale;
  readonly y: Scale;
  readonly width: number;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const at = x(point.ms);
  const left = at < width / 2;
  return (
    <>
      <circle className="jp-JupyterOptimReport-peak" cx={at} cy={y(point.bytes)} r={4} />
      <text
        x={at + (left ? 8 : -8)}
        y={y(point.bytes) - 6}
        textAnchor={left ? 'start' : 'end'}
        className="jp-JupyterOptimReport-strong"
      >
        {trans.__('peak %1', format.size(point.bytes))}
      </text>
    </>
  );
}

/** The last point that is not after `ms`. */
function lastBefore(points: ReadonlyArray<HeldAt>, ms: number): number {
  const after = points.findIndex(point => point.ms > ms);
  return after === -1 ? points.length - 1 : Math.max(0, after - 1);
}
