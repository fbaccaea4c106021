// Modules as the tree that their qualified names make.

import type { ModuleRow } from './schema.js';

/** Deeper than any model; what lies below is drawn as one. */
const DEEPEST = 24;

export interface IModuleNode {
  /** Qualified name; empty for the root. */
  readonly path: string;
  /** The last part of it. */
  readonly name: string;
  /** Null for what only holds others, such as a list of layers. */
  readonly row: ModuleRow | null;
  readonly children: ReadonlyArray<IModuleNode>;
  /** Time in it and in all below it. */
  readonly ms: number;
  readonly share: number;
}

interface IGrowing {
  path: string;
  name: string;
  row: ModuleRow | null;
  children: Map<string, IGrowing>;
}

/** The root with all modules below it, siblings in the order in which they came. */
export function moduleTree(rows: ReadonlyArray<ModuleRow>): IModuleNode {
  const root: IGrowing = { path: '', name: '', row: null, children: new Map() };
  for (const row of rows) {
    let node = root;
    const parts = row.path === '' ? [] : row.path.split('.');
    const levels =
      parts.length <= DEEPEST
        ? parts
        : [...parts.slice(0, DEEPEST - 1), parts.slice(DEEPEST - 1).join('.')];
    for (const name of levels) {
      let child = node.children.get(name);
      if (child === undefined) {
        const path = node.path === '' ? name : `${node.path}.${name}`;
        child = { path, name, row: null, children: new Map() };
        node.children.set(name, child);
      }
      node = child;
    }
    node.row = row;
  }
  return grown(root);
}

/** A module's own time, without those that it calls; the clock's noise may bring it below 0. */
export function ownMs(node: IModuleNode): number {
  return Math.max(0, node.row?.self_ms ?? 0);
}

function grown(node: IGrowing): IModuleNode {
  const children = [...node.children.values()].map(grown);
  return {
    path: node.path,
    name: node.name,
    row: node.row,
    children,
    ms: children.reduce((sum, child) => sum + child.ms, Math.max(0, node.row?.self_ms ?? 0)),
    share: children.reduce((sum, child) => sum + child.share, Math.max(0, node.row?.share ?? 0))
  };
}

/** One visible row of the tree, with its place as assistive technology asks for it. */
export interface ITreeRow {
  readonly node: IModuleNode;
  readonly parent: IModuleNode | null;
  readonly level: number;
  readonly position: number;
  readonly siblings: number;
  readonly expanded: boolean | null;
}

/** The rows that are not within a collapsed one, from top to bottom. */
export function visibleRows(root: IModuleNode, expanded: ReadonlySet<string>): ITreeRow[] {
  const rows: ITreeRow[] = [];
  const add = (
    node: IModuleNode,
    parent: IModuleNode | null,
    level: number,
    position: number,
    siblings: number
  ): void => {
    const open = node.children.length === 0 ? null : expanded.has(node.path);
    rows.push({ node, parent, level, position, siblings, expanded: open });
    if (open === true) {
      node.children.forEach((child, i) => add(child, node, level + 1, i + 1, node.children.length));
    }
  };
  add(root, null, 1, 1, 1);
  return rows;
}

/** What to expand at first: the most expensive, as long as no more than `most` rows are seen. */
export function firstExpanded(root: IModuleNode, most: number): Set<string> {
  const expanded = new Set<string>();
  const waiting = [root];
  let rows = 1;
  while (waiting.length > 0) {
    waiting.sort((a, b) => b.ms - a.ms);
    const next = waiting.shift();
    // the root opens in any case: a closed tree says nothing
    if (next === undefined || (rows + next.children.length > most && expanded.size > 0)) {
      break;
    }
    if (next.children.length > 0) {
      expanded.add(next.path);
      rows += next.children.length;
      waiting.push(...next.children.filter(child => child.children.length > 0));
    }
  }
  return expanded;
}

/** All paths that have others below them. */
export function allExpandable(root: IModuleNode): Set<string> {
  const found = new Set<string>();
  const visit = (node: IModuleNode): void => {
    if (node.children.length > 0) {
      found.add(node.path);
      node.children.forEach(visit);
    }
  };
  visit(root);
  return found;
}
