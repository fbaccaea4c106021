import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { LiveFrame, LiveSensor } from '../report/schema.js';
import type { History, IBand } from './history.js';
import { HEIGHT, WIDTH, linePath, scaleTop } from './spark.js';
import { amount, cellWords, label, scale, sparkWords } from './words.js';

interface ISensorProps {
  readonly sensor: LiveSensor;
  readonly frame: LiveFrame;
  readonly history: History;
  readonly bands: ReadonlyArray<IBand>;
  readonly trans: TranslationBundle;
}

/** A sensor that has a value: its name, the value now, and the last two minutes. */
export function Sensor(props: ISensorProps): JSX.Element {
  const { sensor, frame, history, trans } = props;
  const points = history.points(sensor);
  const top = scaleTop(sensor, points);
  const value = sensor.value;
  return (
    <li className="jp-JupyterOptimHardware-sensor" data-sensor={sensor.key}>
      <div className="jp-JupyterOptimHardware-row">
        <span className="jp-JupyterOptimHardware-label">{label(sensor.key, trans)}</span>
        <span>
          <strong>{value === null ? '' : amount(value, sensor.unit)}</strong>{' '}
          <span className="jp-JupyterOptimHardware-quiet">{scale(sensor, top, frame.cores, trans)}</span>
        </span>
      </div>
      <svg
        role="img"
        aria-label={points.length === 0 ? label(sensor.key, trans) : sparkWords(sensor, points, trans)}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
      >
        {props.bands.map(band => (
          <rect
            key={band.run.began_s}
            x={band.from * WIDTH}
            width={(band.to - band.from) * WIDTH}
            height={HEIGHT}
          >
            <title>{cellWords(band.run, frame.at_s, trans)}</title>
          </rect>
        ))}
        <path d={linePath(points, frame.at_s, frame.every_s, top)} />
      </svg>
    </li>
  );
}

/** Sensors without a value, each with the reason. */
export function Missing(props: {
  sensors: ReadonlyArray<LiveSensor>;
  gpuReason: string | null;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { sensors, gpuReason, trans } = props;
  const rows = sensors.map(sensor => [label(sensor.key, trans), sensor.reason ?? ''] as const);
  const all = gpuReason === null ? rows : [...rows, [trans.__('GPU'), gpuReason] as const];
  if (all.length === 0) {
    return null;
  }
  return (
    <section className="jp-JupyterOptimHardware-missing">
      <h3>{trans.__('Not available')}</h3>
      <dl>
        {all.map(([name, reason]) => (
          <React.Fragment key={name + reason}>
            <dt>{name}</dt>
            <dd>{reason}</dd>
          </React.Fragment>
        ))}
      </dl>
    </section>
  );
}
