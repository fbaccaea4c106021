// Small pieces of reports, for tests.

import type { TranslationBundle } from '@jupyterlab/translation';

import type { ModuleRow, Op } from './schema.js';

export function op(given: Partial<Op>): Op {
  return {
    name: 'aten::addmm',
    calls: 1,
    self_ms: 1,
    total_ms: 1,
    share: 0.1,
    flops: null,
    bytes: null,
    bound: null,
    module: '',
    line: null,
    device: 'cpu',
    ...given
  };
}

export function moduleRow(given: Partial<ModuleRow>): ModuleRow {
  return {
    path: '',
    class_name: 'Module',
    calls: 1,
    total_ms: 1,
    self_ms: 1,
    share: 0.1,
    params: 0,
    flops: null,
    bytes: null,
    ...given
  };
}

/** English, with the arguments put in. */
export const TRANS = {
  __: (text: string, ...args: unknown[]) => put(text, args),
  _n: (one: string, many: string, count: number, ...args: unknown[]) =>
    put(count === 1 ? one : many, [count, ...args])
} as unknown as TranslationBundle;

function put(text: string, args: ReadonlyArray<unknown>): string {
  return text.replace(/%(\d)/g, (_, i: string) => String(args[Number(i) - 1]));
}
