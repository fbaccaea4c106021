import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import { moduleName } from './names.js';
import { filteredRows, nextSorting, opRows, sortedRows, summedRows } from './opRows.js';
import type { IOpRow, ISorting, OpColumn } from './opRows.js';
import type { Report } from './schema.js';
import { Bar } from './table.js';
import { useWindow } from './windowed.js';

const ROW = 26;
const BOX = 364;
const NOTHING = '–';

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

interface IColumn {
  readonly column: OpColumn;
  readonly title: string;
  readonly width: number;
  readonly right?: boolean;
  readonly cell: (row: IOpRow) => React.ReactNode;
}

/** The operators, to sort and to filter; only the rows in view are drawn. */
export function OpsTable({ report, trans }: IProps): React.ReactElement {
  const [query, setQuery] = React.useState('');
  const [summed, setSummed] = React.useState(false);
  const [sorting, setSorting] = React.useState<ISorting>({ column: 'self', descending: true });
  const each = React.useMemo(() => opRows(report.ops), [report.ops]);
  const all = React.useMemo(() => (summed ? summedRows(each) : each), [each, summed]);
  const sorted = React.useMemo(() => sortedRows(all, sorting), [all, sorting]);
  const rows = React.useMemo(() => filteredRows(sorted, query), [sorted, query]);
  const columns = React.useMemo(() => usedColumns(all, summed, trans), [all, summed, trans]);
  const share = rows.reduce((sum, row) => sum + row.share, 0);
  return (
    <div>
      <div className="jp-JupyterOptimReport-tools">
        <label>
          {trans.__('Filter operators')}{' '}
          <input
            type="search"
            className="jp-JupyterOptimReport-search"
            placeholder={trans.__('name, module, line, device, type or bound')}
            value={query}
            onChange={event => setQuery(event.currentTarget.value)}
          />
        </label>
        <label>
          <input
            type="checkbox"
            checked={summed}
            onChange={event => setSummed(event.currentTarget.checked)}
          />{' '}
          {trans.__('sum over modules')}
        </label>
        <span role="status" className="jp-JupyterOptimReport-quiet">
          {query.trim() === ''
            ? trans._n('%1 row', '%1 rows', rows.length)
            : trans.__('%1 of %2 rows', format.count(rows.length), format.count(all.length))}
          {', '}
          {trans.__('%1 of the time', format.share(share))}
        </span>
      </div>
      <Rows
        rows={rows}
        columns={columns}
        sorting={sorting}
        onSort={column => setSorting(nextSorting(sorting, column))}
        trans={trans}
      />
    </div>
  );
}

function Rows({
  rows,
  columns,
  sorting,
  onSort,
  trans
}: {
  readonly rows: ReadonlyArray<IOpRow>;
  readonly columns: ReadonlyArray<IColumn>;
  readonly sorting: ISorting;
  readonly onSort: (column: OpColumn) => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { ref, first, end, size, onScroll, aside, reveal } = useWindow(rows.length, ROW, BOX);
  // another order or another filter begins at its top
  React.useLayoutEffect(() => reveal(0), [rows, reveal]);
  const width = columns.reduce((sum, column) => sum + column.width, 0);
  return (
    <div
      ref={ref}
      className="jp-JupyterOptimReport-box jp-JupyterOptimReport-rows"
      data-aside={aside}
      style={{ maxHeight: BOX }}
      tabIndex={0}
      role="region"
      aria-label={trans.__('Operators')}
      onScroll={onScroll}
    >
      <table
        aria-label={trans.__('Operators')}
        aria-rowcount={rows.length + 1}
        style={{ minWidth: width }}
      >
        <colgroup>
          {columns.map(column => (
            <col key={column.column} style={{ width: column.width }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map(column => (
              <Head key={column.column} column={column} sorting={sorting} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          <Gap rows={first} />
          {rows.slice(first, end).map((row, i) => (
            <Row key={(first + i) % size} row={row} index={first + i} columns={columns} />
          ))}
          <Gap rows={rows.length - end} />
        </tbody>
      </table>
      {rows.length === 0 && (
        <p className="jp-JupyterOptimReport-quiet">{trans.__('No operator has all of these words.')}</p>
      )}
    </div>
  );
}

function Head({
  column,
  sorting,
  onSort
}: {
  readonly column: IColumn;
  readonly sorting: ISorting;
  readonly onSort: (column: OpColumn) => void;
}): React.ReactElement {
  const sorted = sorting.column === column.column;
  return (
    <th
      scope="col"
      aria-sort={sorted ? (sorting.descending ? 'descending' : 'ascending') : 'none'}
      className={column.right === true ? 'jp-JupyterOptimReport-right' : undefined}
    >
      <button type="button" onClick={() => onSort(column.column)}>
        {column.title}
        <span aria-hidden="true">{sorted ? (sorting.descending ? ' ▾' : ' ▴') : ''}</span>
      </button>
    </th>
  );
}

const Row = React.memo(function Row({
  row,
  index,
  columns
}: {
  readonly row: IOpRow;
  readonly index: number;
  readonly columns: ReadonlyArray<IColumn>;
}): React.ReactElement {
  return (
    <tr aria-rowindex={index + 2}>
      {columns.map((column, i) =>
        i === 0 ? (
          <th key={column.column} scope="row" title={row.fullName}>
            {column.cell(row)}
          </th>
        ) : (
          <td
            key={column.column}
            className={
              column.right === true
                ? 'jp-JupyterOptimReport-right'
                : CUT.has(column.column)
                  ? 'jp-JupyterOptimReport-cut'
                  : undefined
            }
            title={CUT.has(column.column) ? String(row[column.column] ?? '') : undefined}
          >
            {column.cell(row)}
          </td>
        )
      )}
    </tr>
  );
});

/** Columns whose text may not fit. */
const CUT: ReadonlySet<OpColumn> = new Set(['module', 'line', 'dtype', 'device']);

/** In place of the rows above or below those that are drawn. */
function Gap({ rows }: { readonly rows: number }): React.ReactElement | null {
  return rows <= 0 ? null : (
    <tr aria-hidden="true" className="jp-JupyterOptimReport-gap">
      <td style={{ height: rows * ROW }} />
    </tr>
  );
}

/** The columns that have anything to say. */
function usedColumns(
  rows: ReadonlyArray<IOpRow>,
  summed: boolean,
  trans: TranslationBundle
): IColumn[] {
  const devices = new Set(rows.map(row => row.device));
  return allColumns(trans).filter(
    ({ column }) =>
      rows.some(row => row[column] !== null) &&
      (column !== 'device' || devices.size > 1) &&
      !(summed && column === 'module')
  );
}

function allColumns(trans: TranslationBundle): IColumn[] {
  return [
    { column: 'name', title: trans.__('Operator'), width: 180, cell: row => <code>{format.shorten(row.name, 23)}</code> },
    { column: 'self', title: trans.__('Self'), width: 80, right: true, cell: row => format.duration(row.self) },
    { column: 'share', title: trans.__('Share'), width: 112, cell: row => <Bar share={row.share} /> },
    {
      column: 'module',
      title: trans.__('Module'),
      width: 236,
      cell: row =>
        row.module === null ? NOTHING : <code>{format.shorten(moduleName(row.module, trans), 31)}</code>
    },
    { column: 'calls', title: trans.__('Calls'), width: 62, right: true, cell: row => format.count(row.calls) },
    {
      column: 'flops',
      title: trans.__('Computation'),
      width: 104,
      right: true,
      cell: row => known(row.flops, format.flop)
    },
    { column: 'bytes', title: trans.__('Data'), width: 80, right: true, cell: row => known(row.bytes, format.size) },
    { column: 'bound', title: trans.__('Bound by'), width: 86, cell: row => row.bound ?? NOTHING },
    {
      column: 'ofPeak',
      title: trans.__('Of peak'),
      width: 72,
      right: true,
      cell: row => known(row.ofPeak, format.share)
    },
    { column: 'dtype', title: trans.__('Type'), width: 80, cell: row => row.dtype ?? NOTHING },
    { column: 'device', title: trans.__('Device'), width: 74, cell: row => row.device },
    {
      column: 'line',
      title: trans.__('Line'),
      width: 120,
      cell: row => (row.line === null ? NOTHING : <code>{row.line}</code>)
    }
  ];
}

function known(value: number | null, words: (value: number) => string): string {
  return value === null ? NOTHING : words(value);
}
