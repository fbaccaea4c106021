// What an editor knows of its marks: a state field holds them, and all that is drawn is computed from it.

import { RangeSet, StateEffect, StateField } from '@codemirror/state';
import type { EditorState, StateEffectType, Transaction } from '@codemirror/state';
import { Decoration, EditorView } from '@codemirror/view';

import { placeMarks } from './place.js';
import type { IMarkGroup, IPlacedMark } from './place.js';

export const LINE = 'jp-JupyterOptim-line';
export const STALE = 'jp-mod-stale';

interface IMarks {
  readonly groups: ReadonlyArray<IMarkGroup>;
  readonly placed: ReadonlyArray<IPlacedMark>;
  readonly decorations: RangeSet<Decoration>;
}

/** Replaces the marks. */
export const setGroups = StateEffect.define<ReadonlyArray<IMarkGroup>>();

/** Opens the details of the line that begins here; null closes them. */
export const setDetails = StateEffect.define<number | null>();

export const marksField = StateField.define<IMarks>({
  create: state => marksOf([], state),
  update: (marks, transaction) => {
    const groups = lastOf(transaction, setGroups) ?? marks.groups;
    return groups !== marks.groups || (transaction.docChanged && groups.length > 0)
      ? marksOf(groups, transaction.state)
      : marks;
  },
  provide: field => EditorView.decorations.from(field, marks => marks.decorations)
});

/** Where the line begins whose details stand open. */
export const detailsField = StateField.define<number | null>({
  create: () => null,
  update: (position, transaction) => {
    const asked = lastOf(transaction, setDetails);
    if (asked !== undefined) {
      return asked;
    }
    return transaction.docChanged || transaction.selection !== undefined ? null : position;
  }
});

export function marksOf(groups: ReadonlyArray<IMarkGroup>, state: EditorState): IMarks {
  const placed = groups.length > 0 ? placeMarks(groups, state.doc.toString()) : [];
  const decorations = placed.map(mark => decoration(mark).range(state.doc.line(mark.lineno).from));
  return { groups, placed, decorations: RangeSet.of(decorations) };
}

/** The mark of the line at this position. */
export function markAt(state: EditorState, position: number): IPlacedMark | null {
  const lineno = state.doc.lineAt(position).number;
  return state.field(marksField).placed.find(mark => mark.lineno === lineno) ?? null;
}

function decoration({ line, stale }: IPlacedMark): Decoration {
  const share = Math.min(1, Math.max(0, line.share));
  return Decoration.line({
    class: stale ? `${LINE} ${STALE}` : LINE,
    attributes: { style: `--jp-JupyterOptim-share: ${share.toFixed(4)}` }
  });
}

function lastOf<T>(transaction: Transaction, type: StateEffectType<T>): T | undefined {
  return transaction.effects.filter(effect => effect.is(type)).at(-1)?.value as T | undefined;
}
