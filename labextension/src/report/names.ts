import type { TranslationBundle } from '@jupyterlab/translation';

import * as format from './format.js';
import type { StepRecord } from './schema.js';

const LONGEST_LABEL = 80;

/** An op's name without the hash by which PyTorch tells compiled graphs apart. */
export function opName(name: string): string {
  return name.replace(/^## Call (CompiledFxGraph \w{6})\w* ##$/, '$1');
}

/** A module's path as shown; the root's is empty. */
export function moduleName(path: string, trans: TranslationBundle): string {
  return path === '' ? trans.__('(the model itself)') : path;
}

/** A step's label with the options that were given. */
export function stepLabel(step: StepRecord): string {
  const options = Object.entries(step.options)
    .filter(([, value]) => value !== 'auto')
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(', ');
  return format.shorten(options === '' ? step.label : `${step.label} (${options})`, LONGEST_LABEL);
}
