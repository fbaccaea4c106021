import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import { stepped } from './keys.js';
import { allExpandable, firstExpanded, visibleRows } from './moduleTree.js';
import type { IModuleNode, ITreeRow } from './moduleTree.js';
import { moduleName } from './names.js';
import { Bar } from './table.js';
import { useWindow } from './windowed.js';

const ROW = 26;
const BOX = 390;
const AT_FIRST = 16;
const NOTHING = '–';

interface IProps {
  readonly root: IModuleNode;
  readonly series: ReadonlyMap<string, number>;
  readonly trans: TranslationBundle;
}

/** The modules as a tree with figures. Arrow keys go through it, and open and close its branches. */
export function ModuleGrid({ root, series, trans }: IProps): React.ReactElement {
  const [expanded, setExpanded] = React.useState(() => firstExpanded(root, AT_FIRST));
  const rows = React.useMemo(() => visibleRows(root, expanded), [root, expanded]);
  const [current, setCurrent] = React.useState('');
  const at = Math.max(0, rows.findIndex(row => row.node.path === current));
  const { ref, first, end, onScroll, aside, reveal } = useWindow(rows.length, ROW, BOX);
  const moved = React.useRef(false);
  React.useLayoutEffect(() => {
    if (moved.current) {
      moved.current = false;
      reveal(at);
      ref.current?.querySelector<HTMLElement>('tr[tabindex="0"]')?.focus({ preventScroll: true });
    }
  });
  const toggle = (path: string, open: boolean): void => {
    const next = new Set(expanded);
    if (open) {
      next.add(path);
    } else {
      next.delete(path);
    }
    setExpanded(next);
  };
  const go = (path: string): void => {
    moved.current = true;
    setCurrent(path);
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const row = rows[at];
    const next = row === undefined ? null : keyed(event.key, rows, at, row);
    if (next !== null) {
      event.preventDefault();
      if (next.open !== undefined) {
        toggle(next.path, next.open);
      }
      go(next.path);
    }
  };
  return (
    <div>
      <div className="jp-JupyterOptimReport-tools">
        <button type="button" onClick={() => setExpanded(allExpandable(root))}>
          {trans.__('Expand all')}
        </button>
        <button type="button" onClick={() => setExpanded(new Set(['']))}>
          {trans.__('Collapse all')}
        </button>
      </div>
      <div
        ref={ref}
        className="jp-JupyterOptimReport-box jp-JupyterOptimReport-rows"
        data-aside={aside}
        style={{ maxHeight: BOX }}
        onScroll={onScroll}
      >
        <table
          role="treegrid"
          aria-label={trans.__('Modules')}
          aria-rowcount={rows.length + 1}
          style={{ minWidth: 780 }}
          onKeyDown={onKeyDown}
        >
          <Head trans={trans} />
          <tbody>
            <Gap rows={first} />
            {rows.slice(first, end).map((row, i) => (
              <Row
                key={row.node.path}
                row={row}
                index={first + i}
                focusable={first + i === at || (i === 0 && (at < first || at >= end))}
                series={row.node.row === null ? undefined : series.get(row.node.row.class_name)}
                onToggle={toggle}
                onFocus={setCurrent}
                trans={trans}
              />
            ))}
            <Gap rows={rows.length - end} />
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** What a key does in row `at`: the row to go to, and whether to open or close it first. */
function keyed(
  key: string,
  rows: ReadonlyArray<ITreeRow>,
  at: number,
  row: ITreeRow
): { path: string; open?: boolean } | null {
  const { node, parent, expanded } = row;
  const step = stepped(key, at, rows.length, 'ArrowUp', 'ArrowDown');
  if (step !== null) {
    return { path: rows[step]?.node.path ?? '' };
  }
  switch (key) {
    case 'ArrowRight':
      return expanded === false
        ? { path: node.path, open: true }
        : { path: node.children[0]?.path ?? node.path };
    case 'ArrowLeft':
      return expanded === true ? { path: node.path, open: false } : { path: parent?.path ?? '' };
    case 'Enter':
    case ' ':
      return expanded === null ? null : { path: node.path, open: !expanded };
    default:
      return null;
  }
}

function Head({ trans }: { readonly trans: TranslationBundle }): React.ReactElement {
  const titles = [
    trans.__('Share, all below'),
    trans.__('Self'),
    trans.__('Total'),
    trans.__('Calls'),
    trans.__('Class'),
    trans.__('Own parameters')
  ];
  return (
    <>
      <colgroup>
        <col style={{ width: 240 }} />
        {[140, 80, 80, 60, 150, 110].map((width, i) => (
          <col key={i} style={{ width }} />
        ))}
      </colgroup>
      <thead>
        <tr aria-rowindex={1}>
          <th scope="col">{trans.__('Module')}</th>
          {titles.map((title, i) => (
            <th key={title} scope="col" className={RIGHT[i]}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
    </>
  );
}

const NUMBER = 'jp-JupyterOptimReport-right';
const RIGHT = [undefined, NUMBER, NUMBER, NUMBER, undefined, NUMBER];

const Row = React.memo(function Row({
  row,
  index,
  focusable,
  series,
  onToggle,
  onFocus,
  trans
}: {
  readonly row: ITreeRow;
  readonly index: number;
  readonly focusable: boolean;
  readonly series: number | undefined;
  readonly onToggle: (path: string, open: boolean) => void;
  readonly onFocus: (path: string) => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { node, level, position, siblings, expanded } = row;
  const own = node.row;
  const name = level === 1 ? moduleName('', trans) : node.name;
  return (
    <tr
      aria-rowindex={index + 2}
      aria-level={level}
      aria-posinset={position}
      aria-setsize={siblings}
      {...(expanded === null ? {} : { 'aria-expanded': expanded })}
      tabIndex={focusable ? 0 : -1}
      onFocus={() => onFocus(node.path)}
    >
      <th scope="row" role="rowheader" title={node.path} style={{ paddingLeft: (level - 1) * 14 }}>
        <span
          className="jp-JupyterOptimReport-twist"
          aria-hidden="true"
          onClick={() => expanded !== null && onToggle(node.path, !expanded)}
        >
          {expanded === null ? '' : expanded ? '▾' : '▸'}
        </span>
        <span className="jp-JupyterOptimReport-key" data-series={series} aria-hidden="true" />
        <code>{name}</code>
      </th>
      <td role="gridcell">
        <Bar share={node.share} />
      </td>
      <td role="gridcell" className={NUMBER}>
        {own === null ? NOTHING : format.duration(own.self_ms)}
      </td>
      <td role="gridcell" className={NUMBER}>
        {own === null ? NOTHING : format.duration(own.total_ms)}
      </td>
      <td role="gridcell" className={NUMBER}>
        {own === null ? NOTHING : format.count(own.calls)}
      </td>
      <td role="gridcell" className="jp-JupyterOptimReport-cut" title={own?.class_name}>
        {own?.class_name ?? NOTHING}
      </td>
      <td role="gridcell" className={NUMBER}>
        {own === null ? NOTHING : format.count(own.params)}
      </td>
    </tr>
  );
});

function Gap({ rows }: { readonly rows: number }): React.ReactElement | null {
  return rows <= 0 ? null : (
    <tr aria-hidden="true" className="jp-JupyterOptimReport-gap">
      <td style={{ height: rows * ROW }} />
    </tr>
  );
}
