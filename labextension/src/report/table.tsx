import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Box } from './box.js';
import * as format from './format.js';

/** Rows shown at once; the rest is folded away. */
const AT_ONCE = 8;

/** Rows shown at all: past these, no row is worth a reader's time, and the browser's is not free. */
const AT_MOST = 200;

interface IRow {
  readonly key: string;
  readonly cells: ReadonlyArray<React.ReactNode>;
  readonly share: number;
}

interface IProps {
  readonly caption: string;
  readonly note: string;
  readonly columns: ReadonlyArray<string>;
  readonly rows: ReadonlyArray<IRow>;
  readonly trans: TranslationBundle;
}

/** A table whose rows end in a bar; `rows` come sorted. Draws nothing if there are none. */
export function RankedTable(props: IProps): React.ReactElement | null {
  const { caption, note, rows, trans } = props;
  if (rows.length === 0) {
    return null;
  }
  const rest = rows.slice(AT_ONCE, AT_MOST);
  return (
    <section className="jp-JupyterOptimReport-section">
      <h4>
        {caption} <span className="jp-JupyterOptimReport-quiet">{note}</span>
      </h4>
      <Table {...props} rows={rows.slice(0, AT_ONCE)} />
      {rest.length > 0 && (
        <details>
          <summary>{trans._n('%1 more', '%1 more', rows.length - AT_ONCE)}</summary>
          <Table {...props} rows={rest} />
          {rows.length > AT_MOST && (
            <p className="jp-JupyterOptimReport-quiet">
              {trans._n('and %1 smaller', 'and %1 smaller', rows.length - AT_MOST)}
            </p>
          )}
        </details>
      )}
    </section>
  );
}

function Table({ caption, columns, rows, trans }: IProps): React.ReactElement {
  return (
    <Box label={caption}>
      <table className="jp-JupyterOptimReport-ranked" aria-label={caption}>
        <thead>
          <tr>
            {columns.map(column => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
            <th scope="col">{trans.__('Share')}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(row => (
            <tr key={row.key}>
              {row.cells.map((cell, i) =>
                i === 0 ? (
                  <th key={i} scope="row">
                    {cell}
                  </th>
                ) : (
                  <td key={i}>{cell}</td>
                )
              )}
              <td>
                <Bar share={row.share} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Box>
  );
}

/** A share as a bar and, since a bar alone says nothing to some readers, as a number. */
export function Bar({ share }: { readonly share: number }): React.ReactElement {
  const percent = Math.max(0, Math.min(100, share * 100));
  return (
    <span className="jp-JupyterOptimReport-bar">
      <span aria-hidden="true">
        <span style={{ width: `${percent}%` }} />
      </span>
      {format.share(share)}
    </span>
  );
}
