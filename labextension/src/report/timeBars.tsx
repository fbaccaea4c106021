import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { scaleLinear } from 'd3-scale';

import { breakdown } from './breakdown.js';
import type { IBreakdown, IPart } from './breakdown.js';
import { fitted } from './chart.js';
import * as format from './format.js';
import type { Report } from './schema.js';
import { useWidth } from './size.js';

const BAR = 30;
const STEP = 38;

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** Where the time of a call goes, at first and now; the legend has the figures. */
export function TimeBars({ report, trans }: IProps): React.ReactElement | null {
  const found = React.useMemo(() => breakdown(report), [report]);
  const [ref, width] = useWidth<HTMLDivElement>();
  if (found === null) {
    return null;
  }
  const title = trans.__('Where the time of one call goes');
  const names = found.parts.map(part => partName(part, report, trans));
  return (
    <figure className="jp-JupyterOptimReport-chart">
      <figcaption>
        <h4>{title}</h4>
      </figcaption>
      <div ref={ref} className="jp-JupyterOptimReport-plot" style={{ minHeight: height(found) }}>
        {width > 0 && <Bars found={found} names={names} width={width} title={title} trans={trans} />}
      </div>
      <Legend found={found} names={names} title={title} trans={trans} />
    </figure>
  );
}

function Bars({
  found,
  names,
  width,
  title,
  trans
}: {
  readonly found: IBreakdown;
  readonly names: ReadonlyArray<string>;
  readonly width: number;
  readonly title: string;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { parts, nowMs, beforeMs } = found;
  const left = beforeMs === null ? 0 : 58;
  const x = scaleLinear()
    .domain([0, Math.max(nowMs, beforeMs ?? 0)])
    .range([left, width - 66]);
  const y = beforeMs === null ? 0 : STEP;
  let done = 0;
  return (
    <svg role="img" aria-label={trans.__('%1; the table below has the figures', title)} width={width} height={height(found)}>
      {beforeMs !== null && (
        <>
          <text x={0} y={BAR / 2 + 4}>{trans.__('at first')}</text>
          <rect data-kind="between" x={left} y={0} width={x(beforeMs) - left} height={BAR} />
          <text x={x(beforeMs) + 6} y={BAR / 2 + 4} className="jp-JupyterOptimReport-strong">
            {format.duration(beforeMs)}
          </text>
          <text x={0} y={y + BAR / 2 + 4}>{trans.__('now')}</text>
        </>
      )}
      {parts.map((part, i) => {
        const [from, to] = [x(done), x(done + part.ms)];
        done += part.ms;
        const [name, share] = [names[i] ?? '', format.share(part.share)];
        const room = to - from - 10;
        const whole = `${name} ${share}`;
        const words = fitted(whole, room) === whole ? whole : fitted(share, room) === share ? share : '';
        return (
          <g key={i}>
            <title>{`${whole}, ${format.duration(part.ms)}`}</title>
            <rect data-kind={part.kind} data-series={i} x={from} y={y} width={Math.max(0.5, to - from - 1)} height={BAR} />
            {words !== '' && (
              <text x={(from + to) / 2} y={y + BAR / 2 + 4} textAnchor="middle">
                {words}
              </text>
            )}
          </g>
        );
      })}
      <text x={x(nowMs) + 6} y={y + BAR / 2 + 4} className="jp-JupyterOptimReport-strong">
        {format.duration(nowMs)}
      </text>
    </svg>
  );
}

function Legend({
  found,
  names,
  title,
  trans
}: {
  readonly found: IBreakdown;
  readonly names: ReadonlyArray<string>;
  readonly title: string;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  return (
    <table className="jp-JupyterOptimReport-legend" aria-label={title}>
      <thead className="jp-JupyterOptimReport-unseen">
        <tr>
          <th scope="col">{trans.__('Part')}</th>
          <th scope="col">{trans.__('Time')}</th>
          <th scope="col">{trans.__('Share')}</th>
        </tr>
      </thead>
      <tbody>
        {found.parts.map((part, i) => (
          <tr key={i}>
            <th scope="row">
              <span className="jp-JupyterOptimReport-key" data-kind={part.kind} data-series={i} aria-hidden="true" />
              {names[i]}
            </th>
            <td className="jp-JupyterOptimReport-right">{format.duration(part.ms)}</td>
            <td className="jp-JupyterOptimReport-right">{format.share(part.share)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function partName(part: IPart, report: Report, trans: TranslationBundle): string {
  switch (part.kind) {
    case 'group':
      return part.label;
    case 'other':
      return trans.__('other ops');
    case 'between':
      return (report.gpu ?? null) === null
        ? trans.__('between ops (Python)')
        : trans.__('the GPU is idle');
  }
}

function height(found: IBreakdown): number {
  return found.beforeMs === null ? BAR : STEP + BAR;
}

