import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { scaleLog, scaleSqrt } from 'd3-scale';
import { symbol, symbolCircle, symbolDiamond, symbolSquare, symbolTriangle } from 'd3-shape';

import { Chart } from './chart.js';
import type { ITip } from './chart.js';
import * as format from './format.js';
import { shortOp } from './groups.js';
import { stepped } from './keys.js';
import { anchorOf, placedLabels, textWidth } from './labels.js';
import type { IBox } from './labels.js';
import { moduleName } from './names.js';
import { roofline } from './rooflineData.js';
import type { IPoint, IRoofline } from './rooflineData.js';
import type { Report } from './schema.js';

const HEIGHT = 340;
const LEFT = 92;
const BOTTOM = 40;
const TOP = 8;

// a shape each, since a colour alone says nothing to some readers
const SHAPES = { compute: symbolCircle, memory: symbolSquare, overhead: symbolTriangle };

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** How near the ops come to the machine's limits. */
export function RooflineChart({ report, trans }: IProps): React.ReactElement | null {
  const found = React.useMemo(() => roofline(report), [report]);
  if (found === null) {
    return null;
  }
  return (
    <Chart
      title={trans.__("How near the ops come to this machine's limits")}
      note={trans.__(
        'Slope: memory, %1/s; what fits into caches may lie above. The %2 ops that take longest; the larger, the longer.',
        format.size(found.bandwidth),
        found.points.length
      )}
      table={table(found, trans)}
      trans={trans}
      height={HEIGHT}
      draw={(width, tell) => <Plot found={found} width={width} tell={tell} trans={trans} />}
    >
      <Key trans={trans} />
    </Chart>
  );
}

function Key({ trans }: { readonly trans: TranslationBundle }): React.ReactElement {
  const names = boundNames(trans);
  return (
    <ul className="jp-JupyterOptimReport-keys">
      {(['compute', 'memory', 'overhead', 'unknown'] as const).map(bound => (
        <li key={bound} data-bound={bound}>
          <svg width={14} height={14} aria-hidden="true">
            <path d={shape(bound, 70)} transform="translate(7 7)" />
          </svg>{' '}
          {names[bound]}
        </li>
      ))}
    </ul>
  );
}

function Plot({
  found,
  width,
  tell,
  trans
}: {
  readonly found: IRoofline;
  readonly width: number;
  readonly tell: (tip: ITip | null) => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const frame: IBox = { x: LEFT, y: TOP, width: width - LEFT - 8, height: HEIGHT - TOP - BOTTOM };
  const x = scaleLog().domain(found.intensities).range([frame.x, frame.x + frame.width]);
  const y = scaleLog().domain(found.rates).range([frame.y + frame.height, frame.y]);
  const size = scaleSqrt()
    .domain([0, found.points[0]?.op.self_ms ?? 1])
    .range([3, 9]);
  const roofs = roofLabels(found, x, y);
  const spots = found.points.map(point => ({
    x: x(point.intensity),
    y: y(point.rate),
    radius: size(point.op.self_ms),
    text: shortOp(point.op.name).slice(0, 24)
  }));
  const labels = placedLabels(spots, frame, roofs);
  const group = React.useRef<SVGGElement>(null);
  const [current, setCurrent] = React.useState(0);
  const top = found.roofs[found.roofs.length - 1]?.rate ?? 1;
  const onKeyDown = (event: React.KeyboardEvent, at: number): void => {
    const next =
      stepped(event.key, at, spots.length, 'ArrowLeft', 'ArrowRight') ??
      stepped(event.key, at, spots.length, 'ArrowUp', 'ArrowDown');
    if (next !== null) {
      event.preventDefault();
      setCurrent(next);
      (group.current?.children[next] as SVGElement | undefined)?.focus();
    }
  };
  return (
    <svg
      role="group"
      aria-label={trans.__('Roofline of %1 ops, with arrow keys from one to the next', spots.length)}
      width={width}
      height={HEIGHT}
    >
      <Axes x={x} y={y} frame={frame} trans={trans} />
      <path
        className="jp-JupyterOptimReport-roof"
        d={`M${x(found.intensities[0])} ${y(found.bandwidth * found.intensities[0])}L${x(top / found.bandwidth)} ${y(top)}`}
      />
      {found.roofs.map((roof, i) => (
        <g key={roof.name}>
          <path
            className="jp-JupyterOptimReport-roof"
            d={`M${Math.max(frame.x, x(roof.rate / found.bandwidth))} ${y(roof.rate)}H${frame.x + frame.width}`}
          />
          <text
            x={(roofs[i]?.x ?? 0) + (roofs[i]?.width ?? 0)}
            y={(roofs[i]?.y ?? 0) + 10}
            textAnchor="end"
            className="jp-JupyterOptimReport-small jp-JupyterOptimReport-halo"
          >
            {roofs[i]?.text}
          </text>
        </g>
      ))}
      <g ref={group}>
        {found.points.map((point, i) => (
          <g
            key={i}
            role="img"
            tabIndex={i === current ? 0 : -1}
            aria-label={pointLines(point, trans).join(', ')}
            data-bound={point.op.bound ?? 'unknown'}
            onKeyDown={event => onKeyDown(event, i)}
            onFocus={() => tell(tipOf(point, spots[i], trans))}
            onMouseEnter={() => tell(tipOf(point, spots[i], trans))}
          >
            <path
              d={shape(point.op.bound ?? 'unknown', 3.2 * size(point.op.self_ms) ** 2)}
              transform={`translate(${spots[i]?.x ?? 0} ${spots[i]?.y ?? 0})`}
            />
          </g>
        ))}
      </g>
      {labels.map(
        (label, i) =>
          label !== null && (
            <text
              key={i}
              x={anchorOf(label)}
              y={label.y + 10}
              textAnchor={label.anchor}
              className="jp-JupyterOptimReport-small jp-JupyterOptimReport-halo"
              aria-hidden="true"
            >
              {label.text}
            </text>
          )
      )}
    </svg>
  );
}

type Scale = (value: number) => number;

/** Labels of the roofs, one below the other where the roofs lie close. */
function roofLabels(found: IRoofline, x: Scale, y: Scale): (IBox & { text: string })[] {
  let floor = Infinity;
  return found.roofs.map(({ name, rate }) => {
    const text = `${name} ${format.flop(rate)}/s`;
    const width = textWidth(text);
    // left of the roof's end no op can lie; labels of roofs close by give way upwards
    floor = Math.min(y(rate) + 4, floor - 14);
    return { x: Math.max(LEFT + 2, x(rate / found.bandwidth) - 8 - width), y: floor - 10, width, height: 13, text };
  });
}

function Axes({
  x,
  y,
  frame,
  trans
}: {
  readonly x: Scale & { ticks: (count: number) => number[] };
  readonly y: Scale & { ticks: (count: number) => number[] };
  readonly frame: IBox;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const bottom = frame.y + frame.height;
  return (
    <g aria-hidden="true">
      {decades(y.ticks(8), 6).map(value => (
        <g key={value}>
          <line className="jp-JupyterOptimReport-grid" x1={frame.x} x2={frame.x + frame.width} y1={y(value)} y2={y(value)} />
          <text x={frame.x - 6} y={y(value) + 4} textAnchor="end" className="jp-JupyterOptimReport-small">
            {`${format.flop(value).replace(/\.00|\.0/, '')}/s`}
          </text>
        </g>
      ))}
      {decades(x.ticks(8), 7).map(value => (
        <g key={value}>
          <line className="jp-JupyterOptimReport-grid" x1={x(value)} x2={x(value)} y1={frame.y} y2={bottom} />
          <text x={x(value)} y={bottom + 15} textAnchor="middle" className="jp-JupyterOptimReport-small">
            {value < 1 ? String(value) : value.toLocaleString('en-US')}
          </text>
        </g>
      ))}
      <text x={frame.x + frame.width} y={bottom + 32} textAnchor="end" className="jp-JupyterOptimReport-small">
        {trans.__('operations for each byte')}
      </text>
    </g>
  );
}

/** The powers of ten among a log scale's ticks, at most so many. */
function decades(values: ReadonlyArray<number>, most: number): number[] {
  const powers = [...new Set(values.map(value => 10 ** Math.round(Math.log10(value))))].filter(power =>
    values.some(value => Math.abs(value / power - 1) < 1e-9)
  );
  const stride = Math.ceil(powers.length / most);
  return powers.filter((_, i) => i % stride === 0);
}

function shape(bound: keyof typeof SHAPES | 'unknown', area: number): string {
  return symbol(bound === 'unknown' ? symbolDiamond : SHAPES[bound], area)() ?? '';
}

function boundNames(trans: TranslationBundle): Record<keyof typeof SHAPES | 'unknown', string> {
  return {
    compute: trans.__('bound by arithmetic'),
    memory: trans.__('bound by memory'),
    overhead: trans.__('bound by launching'),
    unknown: trans.__('not known')
  };
}

function tipOf(
  point: IPoint,
  spot: { readonly x: number; readonly y: number } | undefined,
  trans: TranslationBundle
): ITip {
  return { x: spot?.x ?? 0, y: (spot?.y ?? 0) + 14, lines: pointLines(point, trans) };
}

function pointLines({ op, intensity, rate }: IPoint, trans: TranslationBundle): string[] {
  return [
    op.name,
    ...(op.module === null ? [] : [moduleName(op.module, trans)]),
    trans.__('%1 in %2 calls, %3 of the time', format.duration(op.self_ms), format.count(op.calls), format.share(op.share)),
    trans.__('%1/s at %2 operations for each byte', format.flop(rate), format.significant(intensity)),
    op.of_peak == null
      ? boundNames(trans)[op.bound ?? 'unknown']
      : trans.__('%1, %2 of the peak', boundNames(trans)[op.bound ?? 'unknown'], format.share(op.of_peak))
  ];
}

function table(found: IRoofline, trans: TranslationBundle) {
  return {
    columns: [
      trans.__('Operator'),
      trans.__('Module'),
      trans.__('Self'),
      trans.__('Operations a second'),
      trans.__('Operations for each byte'),
      trans.__('Bound by'),
      trans.__('Of peak')
    ],
    rows: found.points.map(({ op, intensity, rate }) => [
      op.name,
      op.module === null ? '' : moduleName(op.module, trans),
      format.duration(op.self_ms),
      `${format.flop(rate)}/s`,
      format.significant(intensity),
      op.bound ?? format.UNKNOWN,
      format.share(op.of_peak ?? null)
    ])
  };
}
