// The modules as nested rectangles: as wide as their time, as deep as their names.

import { hierarchy, partition } from 'd3-hierarchy';
import type { HierarchyRectangularNode } from 'd3-hierarchy';

import { ownMs } from './moduleTree.js';
import type { IModuleNode } from './moduleTree.js';

/** Levels drawn below the one in focus. */
const LEVELS = 7;

export type Rectangle = HierarchyRectangularNode<IModuleNode>;

export interface ITile {
  readonly node: Rectangle;
  readonly x: number;
  readonly width: number;
  readonly level: number;
}

/** All modules, placed within 0 to 1. */
export function rectangles(root: IModuleNode): Rectangle {
  // in their own order, which is that of the calls in most models
  return partition<IModuleNode>()(hierarchy(root, node => node.children).sum(ownMs));
}

/** The node of a path, or the root if it is no longer there. */
export function nodeAt(root: Rectangle, path: string): Rectangle {
  return root.find(node => node.data.path === path) ?? root;
}

/**
 * What is seen with one node in focus: the ones that hold it, across the whole width, and what lies below it.
 * Leaves out what would be narrower than `least` pixels.
 */
export function tiles(focus: Rectangle, width: number, least: number): ITile[] {
  const above = focus.ancestors().slice(1).reverse();
  const found: ITile[] = above.map((node, level) => ({ node, x: 0, width, level }));
  const span = focus.x1 - focus.x0 || 1;
  const visit = (node: Rectangle): void => {
    const wide = ((node.x1 - node.x0) / span) * width;
    if (wide < least || node.depth > focus.depth + LEVELS) {
      return;
    }
    found.push({ node, x: ((node.x0 - focus.x0) / span) * width, width: wide, level: node.depth });
    node.children?.forEach(visit);
  };
  visit(focus);
  return found;
}

/** Where an arrow key leads: Up to what holds it, Down to the widest below, Left and Right to its neighbours. */
export function neighbour(node: Rectangle, key: string, seen: ReadonlySet<string>): Rectangle | null {
  const siblings = node.parent?.children?.filter(each => seen.has(each.data.path)) ?? [node];
  const at = siblings.indexOf(node);
  switch (key) {
    case 'ArrowUp':
      return node.parent;
    case 'ArrowDown':
      return node.children?.find(each => seen.has(each.data.path)) ?? null;
    case 'ArrowLeft':
      return siblings[at - 1] ?? null;
    case 'ArrowRight':
      return siblings[at + 1] ?? null;
    default:
      return null;
  }
}
