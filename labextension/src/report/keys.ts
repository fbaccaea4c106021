import type * as React from 'react';

/**
 * Keep keys without a modifier from the notebook, whose shortcuts they would else be: in a tree, Down is the next row
 * and not the next cell. Escape and keys with a modifier remain the notebook's.
 */
export function keepPlainKeys(event: React.KeyboardEvent): void {
  if (!event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey && event.key !== 'Escape') {
    event.stopPropagation();
  }
}

/** Where an arrow key, Home or End leads from place `at` of `count`, or null for any other key. */
export function stepped(
  key: string,
  at: number,
  count: number,
  back: string,
  forth: string
): number | null {
  switch (key) {
    case back:
      return Math.max(0, at - 1);
    case forth:
      return Math.min(count - 1, at + 1);
    case 'Home':
      return 0;
    case 'End':
      return count - 1;
    default:
      return null;
  }
}
