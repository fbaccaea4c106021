import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Box } from './box.js';
import { useWidth } from './size.js';

/** A tooltip's place within its chart, and its lines; the first is its title. */
export interface ITip {
  readonly x: number;
  readonly y: number;
  readonly lines: ReadonlyArray<string>;
}

export interface IChartTable {
  readonly columns: ReadonlyArray<string>;
  readonly rows: ReadonlyArray<ReadonlyArray<string>>;
}

interface IProps {
  readonly title: string;
  readonly note?: string;
  readonly table: IChartTable;
  readonly trans: TranslationBundle;
  readonly height: number;
  /** Draws into an svg of the width given; `tell` shows a tooltip, or takes it away. */
  readonly draw: (width: number, tell: (tip: ITip | null) => void) => React.ReactNode;
  readonly children?: React.ReactNode;
}

/** A chart with its title, its tooltip, and its figures as a table. */
export function Chart(props: IProps): React.ReactElement {
  const { title, note, table, trans, height, draw, children } = props;
  const [ref, width] = useWidth<HTMLDivElement>();
  const [tip, tell] = React.useState<ITip | null>(null);
  return (
    <figure className="jp-JupyterOptimReport-chart">
      <figcaption>
        <h4>{title}</h4>
        {note !== undefined && <span className="jp-JupyterOptimReport-quiet">{note}</span>}
      </figcaption>
      {children}
      <div
        ref={ref}
        className="jp-JupyterOptimReport-plot"
        style={{ minHeight: height }}
        onMouseLeave={() => tell(null)}
        onBlur={() => tell(null)}
        onKeyDown={event => {
          if (event.key === 'Escape' && tip !== null) {
            event.stopPropagation();
            tell(null);
          }
        }}
      >
        {width > 0 && draw(width, tell)}
        {tip !== null && <Tip tip={tip} width={width} />}
      </div>
      <AsTable title={title} table={table} trans={trans} />
    </figure>
  );
}

function Tip({ tip, width }: { readonly tip: ITip; readonly width: number }): React.ReactElement {
  const right = tip.x > width / 2;
  const [title, ...lines] = tip.lines;
  return (
    <div
      className="jp-JupyterOptimReport-tip"
      role="tooltip"
      style={{ top: tip.y, ...(right ? { right: width - tip.x } : { left: tip.x }) }}
    >
      <strong>{title}</strong>
      {lines.map((line, i) => (
        <div key={i}>{line}</div>
      ))}
    </div>
  );
}

/** The figures behind a chart; they are drawn when somebody asks for them. */
export function AsTable({
  title,
  table,
  trans
}: {
  readonly title: string;
  readonly table: IChartTable;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const [open, setOpen] = React.useState(false);
  return (
    <details
      className="jp-JupyterOptimReport-asTable"
      onToggle={event => setOpen(event.currentTarget.open)}
    >
      <summary>{trans.__('Show as table')}</summary>
      {open && <PlainTable title={title} table={table} />}
    </details>
  );
}

/** Words in rows and columns, in a box of its own that scrolls. */
export function PlainTable({
  title,
  table
}: {
  readonly title: string;
  readonly table: IChartTable;
}): React.ReactElement {
  return (
    <Box label={title}>
      <table aria-label={title}>
        <thead>
          <tr>
            {table.columns.map(column => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) =>
                j === 0 ? (
                  <th key={j} scope="row">
                    {cell}
                  </th>
                ) : (
                  <td key={j}>{cell}</td>
                )
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </Box>
  );
}

/** Text that ends before `width` pixels, or null where not even its beginning would fit. */
export function fitted(text: string, width: number, letter = 6.6): string | null {
  const letters = Math.floor(width / letter);
  if (text.length <= letters) {
    return text;
  }
  return letters < 4 ? null : `${text.slice(0, letters - 1)}…`;
}
