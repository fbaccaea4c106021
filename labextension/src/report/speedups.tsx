import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { scaleLog } from 'd3-scale';

import { fitted } from './chart.js';
import * as format from './format.js';
import type { Report } from './schema.js';
import { useWidth } from './size.js';
import { ticks, tries } from './tries.js';
import type { ITries, ITry } from './tries.js';

const ROW = 42;
const AXIS = 20;

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** The speed-up of each step with its confidence interval or, before any, what is predicted. */
export function Speedups({ report, trans }: IProps): React.ReactElement | null {
  const found = React.useMemo(() => tries(report, trans), [report, trans]);
  const [ref, width] = useWidth<HTMLDivElement>();
  if (found.rows.length === 0) {
    return null;
  }
  const title = found.measured
    ? trans.__('What was tried (speed-up, 95% CI)')
    : trans.__('What would help (predicted speed-up)');
  return (
    <figure className="jp-JupyterOptimReport-chart">
      <figcaption>
        <h4>{title}</h4>
      </figcaption>
      <div ref={ref} className="jp-JupyterOptimReport-plot" style={{ minHeight: height(found) }}>
        {width > 0 && (
          <svg
            role="img"
            aria-label={trans.__('%1; all of it stands in the tables below: %2', title, spoken(found))}
            width={width}
            height={height(found)}
          >
            <Plot found={found} width={width} />
          </svg>
        )}
      </div>
      {found.more > 0 && (
        <p className="jp-JupyterOptimReport-quiet">
          {trans._n('and %1 more in the tables below', 'and %1 more in the tables below', found.more)}
        </p>
      )}
    </figure>
  );
}

function Plot({ found, width }: { readonly found: ITries; readonly width: number }): React.ReactElement {
  const ends = found.rows.flatMap(row =>
    [row.middle, row.interval?.low, row.interval?.high].filter(end => typeof end === 'number')
  );
  const [low, high] = [Math.min(0.9, ...ends), Math.max(1.5, ...ends)];
  const x = scaleLog().domain([low, high]).range([8, width - 12]);
  const bottom = found.rows.length * ROW;
  return (
    <>
      {ends.length > 0 &&
        ticks(low, high).map(tick => (
          <g key={tick}>
            <line
              x1={x(tick)}
              x2={x(tick)}
              y1={0}
              y2={bottom}
              className={`jp-JupyterOptimReport-${tick === 1 ? 'axis' : 'grid'}`}
            />
            <text x={x(tick)} y={bottom + 13} textAnchor="middle" className="jp-JupyterOptimReport-small">
              {`${tick}x`}
            </text>
          </g>
        ))}
      {found.rows.map((row, i) => (
        <g key={i} transform={`translate(0 ${i * ROW})`} data-outcome={row.outcome}>
          <rect className="jp-JupyterOptimReport-paper" x={0} y={1} width={width} height={19} />
          <text x={0} y={14} className="jp-JupyterOptimReport-strong">
            {fitted(row.label, width - row.note.length * 6.6 - 14) ?? ''}
          </text>
          <text x={width} y={14} textAnchor="end">
            {row.note}
          </text>
          <Mark row={row} x={x} />
        </g>
      ))}
    </>
  );
}

/** The interval with its middle or, for a prediction, a hollow dot: it is no more than that. */
function Mark({
  row,
  x
}: {
  readonly row: ITry;
  readonly x: (value: number) => number;
}): React.ReactElement | null {
  if (row.middle === null) {
    return null;
  }
  const at = x(row.middle);
  if (row.interval === null) {
    return (
      <>
        <line className="jp-JupyterOptimReport-stem" x1={x(1)} x2={at} y1={30} y2={30} />
        <circle className="jp-JupyterOptimReport-hollow" cx={at} cy={30} r={5} />
      </>
    );
  }
  const [from, to] = [x(row.interval.low), x(row.interval.high)];
  const width = Math.max(8, to - from);
  return (
    <>
      <rect
        className="jp-JupyterOptimReport-interval"
        x={(from + to - width) / 2}
        y={26}
        width={width}
        height={8}
        rx={4}
      />
      <circle className="jp-JupyterOptimReport-dot" cx={at} cy={30} r={5} />
    </>
  );
}

function height(found: ITries): number {
  return found.rows.length * ROW + AXIS;
}

function spoken(found: ITries): string {
  return found.rows
    .map(row => {
      const measured = row.interval === null ? '' : ` (${format.ratioInterval(row.interval)})`;
      return `${row.label}: ${row.note}${measured}`;
    })
    .join('; ');
}
