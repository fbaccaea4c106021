import type { TranslationBundle } from '@jupyterlab/translation';

import { duration, significant, size } from '../report/format.js';
import type { CellRun, LiveFrame, LiveSensor } from '../report/schema.js';
import type { IPoint } from './history.js';

export type SensorKey = LiveSensor['key'];

/** What a sensor is called. */
export function label(key: SensorKey, trans: TranslationBundle): string {
  switch (key) {
    case 'cpu':
      return trans.__('CPU, whole machine');
    case 'process_cpu':
      return trans.__('CPU, this kernel');
    case 'memory':
      return trans.__('Memory, whole machine');
    case 'process_memory':
      return trans.__('Memory, this kernel');
    case 'temperature':
      return trans.__('CPU temperature');
    case 'power':
      return trans.__('CPU power');
    case 'gpu_use':
      return trans.__('GPU use');
    case 'gpu_memory':
      return trans.__('GPU memory');
    case 'gpu_power':
      return trans.__('GPU power');
    case 'gpu_temperature':
      return trans.__('GPU temperature');
  }
}

/** A value with its unit: `37%`, `3.20 GB`, `54 °C`. */
export function amount(value: number, unit: LiveSensor['unit']): string {
  switch (unit) {
    case 'B':
      return size(value);
    case '%':
      return `${value.toFixed(0)}%`;
    case 'W':
      return `${significant(value)} W`;
    case '°C':
      return `${value.toFixed(0)} °C`;
  }
}

/** What a sensor's scale means, behind its value. */
export function scale(
  sensor: LiveSensor,
  top: number,
  cores: number | null,
  trans: TranslationBundle
): string {
  const full = sensor.full;
  if (sensor.key === 'process_memory') {
    return trans.__('chart to %1', amount(top, 'B'));
  }
  if (sensor.key === 'process_cpu') {
    return trans.__('100% is one core');
  }
  if (sensor.key === 'cpu') {
    return cores === null ? '' : trans._n('of %1 core', 'of %1 cores', cores);
  }
  return full === null || sensor.unit === '%' ? '' : trans.__('of %1', amount(full, sensor.unit));
}

/** A sparkline in one sentence. */
export function sparkWords(
  sensor: LiveSensor,
  points: ReadonlyArray<IPoint>,
  trans: TranslationBundle
): string {
  const values = points.map(point => point.value);
  return trans.__(
    '%1 over the last two minutes: %2 to %3',
    label(sensor.key, trans),
    amount(Math.min(...values), sensor.unit),
    amount(Math.max(...values), sensor.unit)
  );
}

export function cellName(run: CellRun, trans: TranslationBundle): string {
  return run.number === null ? trans.__('a cell') : trans.__('cell [%1]', run.number);
}

/** `cell [3]: 12.0 s`, or that it still runs. */
export function cellWords(run: CellRun, nowS: number, trans: TranslationBundle): string {
  const took = duration(((run.ended_s ?? nowS) - run.began_s) * 1e3);
  return run.ended_s === null
    ? trans.__('%1, running for %2', cellName(run, trans), took)
    : trans.__('%1, %2', cellName(run, trans), took);
}

/** The few words of the status bar: `CPU 37%  Memory 3.20 of 16.8 GB  GPU 80%`. */
export function shortWords(frame: LiveFrame, trans: TranslationBundle): string {
  const known = (key: SensorKey): LiveSensor[] =>
    frame.sensors.filter(sensor => sensor.key === key && sensor.value !== null);
  const gpus = known('gpu_use');
  const busiest = amount(Math.max(...gpus.map(gpu => gpu.value ?? 0)), '%');
  return [
    ...known('cpu').map(cpu => trans.__('CPU %1', amount(cpu.value ?? 0, '%'))),
    ...known('memory').map(memory => trans.__('Memory %1', ofTotal(memory, trans))),
    ...(gpus.length === 1 ? [trans.__('GPU %1', busiest)] : []),
    ...(gpus.length > 1 ? [trans.__('GPUs up to %1', busiest)] : [])
  ].join('  ');
}

/** `3.20 of 16.8 GB`: the unit once, if it is the same. */
function ofTotal(sensor: LiveSensor, trans: TranslationBundle): string {
  const used = size(sensor.value ?? 0);
  const full = sensor.full;
  if (full === null) {
    return used;
  }
  const total = size(full);
  const unit = total.slice(total.indexOf(' '));
  return trans.__('%1 of %2', used.endsWith(unit) ? used.slice(0, -unit.length) : used, total);
}
