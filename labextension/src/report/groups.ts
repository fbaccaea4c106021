// Where the time goes, in the groups that jupyter_optim/analysis/groups.py makes: the headline and the bar say what
// the html says.

import type { ModuleRow, Op } from './schema.js';

/** Label of the group of all that is in no layer and too small to be named by its op. */
export const OUTSIDE = 'outside any layer';

const WORTH_NAMING = 0.02;

export interface ITimeGroup {
  /** `36 Linear`, or the op's short name, or `OUTSIDE`. */
  readonly label: string;
  /** Class of the layers; null for ops outside layers. */
  readonly className: string | null;
  readonly modules: ReadonlyArray<string>;
  readonly ms: number;
  readonly share: number;
  readonly ops: ReadonlyArray<Op>;
}

/** Ops by the class of their layer, and ops outside layers by name; largest first. */
export function timeGroups(
  ops: ReadonlyArray<Op>,
  modules: ReadonlyArray<ModuleRow>
): ITimeGroup[] {
  const classes = layerClasses(modules);
  const named = worthNaming(ops, classes);
  const groups = new Map<string, { className: string | null; name: string; ops: Op[] }>();
  for (const op of ops) {
    const className = (op.module !== null && classes.get(op.module)) || null;
    const name = className !== null ? '' : named.has(op.name) ? shortOp(op.name) : OUTSIDE;
    const key = JSON.stringify([className, name]);
    const group = groups.get(key) ?? { className, name, ops: [] };
    group.ops.push(op);
    groups.set(key, group);
  }
  return [...groups.values()].map(asGroup).sort((a, b) => b.ms - a.ms);
}

/** An op's name as a reader knows it: `aten::addmm` is `addmm`. */
export function shortOp(name: string): string {
  const short = name
    .slice(name.lastIndexOf('::') === -1 ? 0 : name.lastIndexOf('::') + 2)
    .replace(/^_+/, '')
    .replace(/_for_cpu$/, '')
    .replace(/_default$/, '');
  return short || name;
}

/** For each module within which no other one was called, its class. */
function layerClasses(rows: ReadonlyArray<ModuleRow>): Map<string, string> {
  const called = new Map(
    rows.filter(row => row.calls > 0).map(row => [row.path, row.class_name] as const)
  );
  const holders = new Set(called.size > 1 ? [''] : []);
  for (const path of called.keys()) {
    for (let at = path.indexOf('.'); at !== -1; at = path.indexOf('.', at + 1)) {
      holders.add(path.slice(0, at));
    }
  }
  return new Map([...called].filter(([path]) => !holders.has(path)));
}

function worthNaming(
  ops: ReadonlyArray<Op>,
  classes: ReadonlyMap<string, string>
): Set<string> {
  const between = new Map<string, number>();
  let total = 0;
  for (const op of ops) {
    total += op.self_ms;
    if (op.module === null || !classes.has(op.module)) {
      between.set(op.name, (between.get(op.name) ?? 0) + op.self_ms);
    }
  }
  return new Set(
    [...between].filter(([, ms]) => ms > 0 && ms >= WORTH_NAMING * total).map(([name]) => name)
  );
}

function asGroup(group: { className: string | null; name: string; ops: Op[] }): ITimeGroup {
  const { className, name, ops } = group;
  const modules = [...new Set(ops.flatMap(op => (op.module === null ? [] : [op.module])))];
  return {
    label: className === null ? name : `${modules.length} ${className}`,
    className,
    modules,
    ms: ops.reduce((sum, op) => sum + op.self_ms, 0),
    share: ops.reduce((sum, op) => sum + op.share, 0),
    ops
  };
}
