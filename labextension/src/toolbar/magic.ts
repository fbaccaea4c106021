// What the text of cells says of the magics.

export const MAGIC = '%%optimize';
export const LOAD = '%load_ext jupyter_optim';

const FIRST_MAGIC = /^\s*(%%\w[\w.]*)/;
const OWN_LINE = /^(\s*)%%optimize(?!\w)[^\n]*\n?/;
const LOADS = /^[ \t]*%?(?:re)?load_ext[ \t]+jupyter_optim[ \t]*(?:#.*)?$/m;

/** The cell magic that the cell begins with; null if it begins with none. */
export function cellMagic(text: string): string | null {
  return FIRST_MAGIC.exec(text)?.[1] ?? null;
}

export function isOptimized(text: string): boolean {
  return cellMagic(text) === MAGIC;
}

/** The text without the line of `%%optimize`. */
export function withoutMagic(text: string): string {
  return text.replace(OWN_LINE, '$1');
}

/** Whether a cell with this text makes `%%optimize` known to the kernel. */
export function loadsExtension(text: string): boolean {
  return LOADS.test(text);
}
