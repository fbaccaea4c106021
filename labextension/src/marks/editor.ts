// The marks as CodeMirror draws them.

import { Compartment } from '@codemirror/state';
import type { Extension } from '@codemirror/state';
import { EditorView, gutter, GutterMarker, showTooltip, tooltips, ViewPlugin } from '@codemirror/view';
import type { PluginValue, Tooltip } from '@codemirror/view';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { TranslationBundle } from '@jupyterlab/translation';

import * as format from '../report/format.js';

import { lineDetails, spoken } from './details.js';
import { hover } from './hover.js';
import type { IPlacedMark } from './place.js';
import { detailsField, markAt, marksField, marksOf, setDetails, setGroups, STALE } from './state.js';
import type { MarkStore } from './store.js';
import { detailsBox } from './tooltip.js';

const GUTTER = 'jp-JupyterOptim-gutter';

/** Marks the lines of one editor, as the store has them for its cell. */
export function lineMarks(
  model: CodeEditor.IModel,
  store: MarkStore,
  trans: TranslationBundle
): Extension {
  const beside = new Compartment();
  const groups = store.get(model);
  const follow = ViewPlugin.define((view: EditorView): PluginValue => {
    const update = (_: MarkStore, changed: CodeEditor.IModel | null): void => {
      const had = view.state.field(marksField).groups.length > 0;
      const groups = store.get(model);
      if ((changed === null || changed === model) && (had || groups.length > 0)) {
        view.dispatch({
          effects: [
            setGroups.of(groups),
            beside.reconfigure(groups.length > 0 ? besideLines(trans) : [])
          ]
        });
      }
    };
    store.changed.connect(update);
    return { destroy: () => void store.changed.disconnect(update) };
  });
  return [
    marksField.init(state => marksOf(groups, state)),
    detailsField,
    beside.of(groups.length > 0 ? besideLines(trans) : []),
    follow
  ];
}

/** Show what the marked line costs, and say it to those who listen. */
export function showLineDetails(view: EditorView, lineno: number, trans: TranslationBundle): void {
  const position = view.state.doc.line(Math.min(lineno, view.state.doc.lines)).from;
  const mark = markAt(view.state, position);
  if (mark === null) {
    return;
  }
  view.focus();
  view.dispatch({
    selection: { anchor: position },
    effects: [
      EditorView.scrollIntoView(position),
      setDetails.of(position),
      EditorView.announce.of(spoken(lineDetails(mark, trans)))
    ]
  });
}

/** Whether the details of this line stand open. */
export function detailsShown(view: EditorView, lineno: number): boolean {
  const position = view.state.field(detailsField, false) ?? null;
  return position !== null && view.state.doc.lineAt(position).number === lineno;
}

/** The gutter and the details: where no line is marked, they would take room for nothing. */
function besideLines(trans: TranslationBundle): Extension {
  return [
    gutter({
      class: `${GUTTER}Column`,
      lineMarker: (view, block) => {
        const mark = markAt(view.state, block.from);
        return mark === null ? null : new CostMarker(mark);
      },
      lineMarkerChange: update =>
        update.startState.field(marksField) !== update.state.field(marksField),
      domEventHandlers: {
        mousemove: (view, block) => {
          const marked = markAt(view.state, block.from) !== null;
          view.plugin(hover)?.pointAt(marked ? block.from : null);
          return false;
        },
        mouseleave: view => {
          view.plugin(hover)?.pointAt(null);
          return false;
        }
      }
    }),
    hover,
    showTooltip.from(detailsField, position => (position === null ? null : tooltip(position, trans))),
    // an editor of a notebook cuts off what sticks out of it
    tooltips({ parent: document.body })
  ];
}

function tooltip(position: number, trans: TranslationBundle): Tooltip {
  return {
    pos: position,
    create: view => {
      const mark = markAt(view.state, position);
      const dom = mark === null ? document.createElement('div') : detailsBox(lineDetails(mark, trans));
      dom.addEventListener('mouseenter', () => view.plugin(hover)?.hold());
      dom.addEventListener('mouseleave', () => view.plugin(hover)?.close());
      return { dom };
    }
  };
}

class CostMarker extends GutterMarker {
  constructor({ line, stale }: IPlacedMark) {
    super();
    const cost = `${line.estimated === true ? '~' : ''}${format.duration(line.ms)}`;
    this._text = `${cost} ${format.share(line.share)}`;
    this.elementClass = stale ? `${GUTTER} ${STALE}` : GUTTER;
  }

  override eq(other: GutterMarker): boolean {
    return (
      other instanceof CostMarker &&
      other._text === this._text &&
      other.elementClass === this.elementClass
    );
  }

  override toDOM(): Node {
    return document.createTextNode(this._text);
  }

  private readonly _text: string;
}
