import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { scaleLinear } from 'd3-scale';
import { area, line } from 'd3-shape';

import * as format from './format.js';
import type { IChartTable } from './chart.js';
import { AsTable } from './chart.js';
import type { Report, Series } from './schema.js';
import { missing, reading, sensors } from './sensors.js';
import type { ISensor } from './sensors.js';

const WIDTH = 120;
const HEIGHT = 30;

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** What the machine did while the calls were timed, a sparkline a sensor. */
export function HardwareStrip({ report, trans }: IProps): React.ReactElement | null {
  const all = React.useMemo(() => sensors(report, trans), [report, trans]);
  const seen = report.hardware.samples ?? null;
  if (seen === null) {
    return null;
  }
  const told = all.filter(sensor => (sensor.series.mean ?? null) !== null);
  const title = trans.__('The machine during the timing');
  return (
    <figure className="jp-JupyterOptimReport-chart">
      <figcaption>
        <h4>{title}</h4>
        <span className="jp-JupyterOptimReport-quiet">{seen.method}</span>
      </figcaption>
      <ul className="jp-JupyterOptimReport-strip">
        {told.map(sensor => (
          <li key={sensor.name}>
            <span>{sensor.name}</span>
            <strong>{reading(sensor.series.mean ?? null, sensor.series.unit)}</strong>
            <Sparkline sensor={sensor} />
          </li>
        ))}
        <Energy report={report} trans={trans} />
      </ul>
      <ul className="jp-JupyterOptimReport-quiet">
        {[...missing(all)].map(([reason, names]) => (
          <li key={reason}>{`${format.UNKNOWN}: ${names.join(', ')} (${reason})`}</li>
        ))}
        {seen.gpus.length === 0 && seen.gpu_reason !== null && <li>{seen.gpu_reason}</li>}
        {(seen.reason ?? null) !== null && <li>{seen.reason}</li>}
      </ul>
      <AsTable title={title} table={table(all, trans)} trans={trans} />
    </figure>
  );
}

function Energy({ report, trans }: IProps): React.ReactElement | null {
  const { energy_j, power_w } = report.energy;
  return energy_j === null ? null : (
    <li>
      <span>{trans.__('energy of one call')}</span>
      <strong>{`${format.significant(energy_j)} J`}</strong>
      {(power_w ?? null) !== null && (
        <span className="jp-JupyterOptimReport-quiet">
          {trans.__('%1 W on average', format.significant(power_w ?? 0))}
        </span>
      )}
    </li>
  );
}

function Sparkline({ sensor }: { readonly sensor: ISensor }): React.ReactElement {
  const { series, most } = sensor;
  const points = pointsOf(series);
  const top = Math.max(most ?? 0, ...points.map(([, value]) => value), series.high ?? 0) || 1;
  const x = scaleLinear()
    .domain([points[0]?.[0] ?? 0, points[points.length - 1]?.[0] ?? 1])
    .range([1, WIDTH - 1]);
  const y = scaleLinear().domain([0, top]).range([HEIGHT - 1, 2]);
  return (
    <svg width={WIDTH} height={HEIGHT} aria-hidden="true">
      <line className="jp-JupyterOptimReport-grid" x1={0} x2={WIDTH} y1={HEIGHT - 1} y2={HEIGHT - 1} />
      {points.length < 3 ? (
        <rect data-series={0} x={0} y={y(series.mean ?? 0)} width={WIDTH} height={HEIGHT - 1 - y(series.mean ?? 0)} />
      ) : (
        <>
          <path
            className="jp-JupyterOptimReport-area"
            d={area<Point>(point => x(point[0]), y(0), point => y(point[1]))(points) ?? ''}
          />
          <path
            className="jp-JupyterOptimReport-curve"
            d={line<Point>(point => x(point[0]), point => y(point[1]))(points) ?? ''}
          />
        </>
      )}
    </svg>
  );
}

type Point = [time: number, value: number];

function pointsOf(series: Series): Point[] {
  const values = series.values ?? [];
  return (series.times_s ?? []).slice(0, values.length).map((time, i) => [time, values[i] ?? 0]);
}

function table(all: ReadonlyArray<ISensor>, trans: TranslationBundle): IChartTable {
  return {
    columns: [
      trans.__('Sensor'),
      trans.__('Lowest'),
      trans.__('Mean'),
      trans.__('Highest'),
      trans.__('Points'),
      trans.__('Note')
    ],
    rows: all.map(({ name, series }) => [
      name,
      reading(series.low ?? null, series.unit),
      reading(series.mean ?? null, series.unit),
      reading(series.high ?? null, series.unit),
      String(series.values?.length ?? 0),
      series.reason ?? ''
    ])
  };
}
