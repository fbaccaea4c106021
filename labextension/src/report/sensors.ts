// What was seen of the machine, as one list: its name, its figures, or why there are none.

import type { TranslationBundle } from '@jupyterlab/translation';

import * as format from './format.js';
import type { GpuSamples, Report, Series } from './schema.js';

export interface ISensor {
  readonly name: string;
  readonly series: Series;
  /** The top of its sparkline: for a share it is the whole. */
  readonly most: number | null;
}

/** The sensors of the host and of each GPU, also those that told nothing. */
export function sensors({ hardware, environment }: Report, trans: TranslationBundle): ISensor[] {
  const seen = hardware.samples ?? null;
  if (seen === null) {
    return [];
  }
  const cores = (environment.logical_cores ?? 1) * 100;
  return [
    { name: trans.__('CPU, this process'), series: seen.process_cpu, most: cores },
    { name: trans.__('CPU, all programs'), series: seen.cpu, most: 100 },
    { name: trans.__('CPU taken by other machines'), series: seen.steal, most: 100 },
    { name: trans.__('memory, this process'), series: seen.rss, most: environment.memory_bytes },
    { name: trans.__('memory, all programs'), series: seen.memory_used, most: environment.memory_bytes },
    { name: trans.__('CPU frequency'), series: seen.frequency, most: null },
    { name: trans.__('CPU temperature'), series: seen.temperature, most: 100 },
    ...seen.gpus.flatMap(gpu => gpuSensors(gpu, trans))
  ];
}

function gpuSensors(gpu: GpuSamples, trans: TranslationBundle): ISensor[] {
  const of = (name: string): string => trans.__('GPU %1 %2', gpu.index, name);
  return [
    { name: of(trans.__('in use')), series: gpu.utilisation, most: 100 },
    { name: of(trans.__('memory busy')), series: gpu.memory_controller, most: 100 },
    { name: of(trans.__('memory held')), series: gpu.memory_used, most: gpu.memory_total_bytes },
    { name: of(trans.__('power')), series: gpu.power, most: null },
    { name: of(trans.__('temperature')), series: gpu.temperature, most: 100 },
    { name: of(trans.__('SM clock')), series: gpu.sm_clock, most: null },
    { name: of(trans.__('memory clock')), series: gpu.memory_clock, most: null },
    { name: of(trans.__('PCIe in')), series: gpu.pcie_rx, most: null },
    { name: of(trans.__('PCIe out')), series: gpu.pcie_tx, most: null }
  ];
}

/** A sensor's figure with its unit: `83%`, `1.27 GB`, `62 °C`. */
export function reading(value: number | null, unit: string): string {
  if (value === null) {
    return format.UNKNOWN;
  }
  if (unit === 'B') {
    return format.size(value);
  }
  if (unit === 'KB/s') {
    return `${format.size(1e3 * value)}/s`;
  }
  return `${format.significant(value)}${unit === '%' ? '' : ' '}${unit}`;
}

/** Those without figures, by the reason that they share. */
export function missing(all: ReadonlyArray<ISensor>): ReadonlyMap<string, ReadonlyArray<string>> {
  const reasons = new Map<string, string[]>();
  for (const { name, series } of all) {
    if ((series.mean ?? null) === null) {
      const reason = series.reason ?? '';
      reasons.set(reason, [...(reasons.get(reason) ?? []), name]);
    }
  }
  return reasons;
}
