import type { TranslationBundle } from '@jupyterlab/translation';

import type { Op } from './schema.js';

export interface IOpTotal {
  readonly name: string;
  readonly device: string;
  readonly calls: number;
  readonly selfMs: number;
  readonly share: number;
}

/** Ops summed over modules and lines, by name and device, the most expensive first. */
export function opTotals(ops: ReadonlyArray<Op>): IOpTotal[] {
  const totals = new Map<string, IOpTotal>();
  for (const op of ops) {
    const key = `${op.name} ${op.device}`;
    const before = totals.get(key);
    totals.set(key, {
      name: op.name,
      device: op.device,
      calls: (before?.calls ?? 0) + op.calls,
      selfMs: (before?.selfMs ?? 0) + op.self_ms,
      share: (before?.share ?? 0) + op.share
    });
  }
  return [...totals.values()].sort((a, b) => b.selfMs - a.selfMs);
}

/** An op's name without the hash by which PyTorch tells compiled graphs apart. */
export function opName(name: string): string {
  return name.replace(/^## Call (CompiledFxGraph \w{6})\w* ##$/, '$1');
}

/** A module's path as shown; the root's is empty. */
export function moduleName(path: string, trans: TranslationBundle): string {
  return path === '' ? trans.__('(root)') : path;
}
