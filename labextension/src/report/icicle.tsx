import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Chart, fitted } from './chart.js';
import type { ITip } from './chart.js';
import * as format from './format.js';
import { neighbour, nodeAt, rectangles, tiles } from './icicleData.js';
import type { ITile, Rectangle } from './icicleData.js';
import type { IModuleNode } from './moduleTree.js';
import { moduleName } from './names.js';

const ROW = 24;
const LEAST = 1.5;
/** Tiles stand side by side: a letter too many runs into the next. */
const LETTER = 7.4;

interface IProps {
  readonly root: IModuleNode;
  readonly series: ReadonlyMap<string, number>;
  readonly trans: TranslationBundle;
}

/** The modules' time as nested rectangles; a click goes into one, and on one above goes back. */
export function Icicle({ root, series, trans }: IProps): React.ReactElement | null {
  const placed = React.useMemo(() => rectangles(root), [root]);
  const [focus, setFocus] = React.useState('');
  const zoomed = nodeAt(placed, focus);
  if ((placed.value ?? 0) <= 0) {
    return null;
  }
  const levels = Math.max(...tiles(zoomed, 1000, LEAST).map(tile => tile.level)) + 1;
  return (
    <Chart
      title={trans.__('Time by module')}
      note={trans.__('As wide as the time in a module and all below it. Click, or Enter, to go into one; on one above to go back.')}
      table={{
        columns: [trans.__('Module'), trans.__('Class'), trans.__('Time with all below'), trans.__('Share')],
        rows: tiles(zoomed, 1000, LEAST).map(({ node }) => [
          moduleName(node.data.path, trans),
          node.data.row?.class_name ?? '',
          format.duration(node.data.ms),
          format.share(node.data.share)
        ])
      }}
      trans={trans}
      height={levels * ROW}
      draw={(width, tell) => (
        <Tiles
          seen={tiles(zoomed, width, LEAST)}
          zoomed={zoomed}
          width={width}
          height={levels * ROW}
          series={series}
          onZoom={path => {
            setFocus(path);
            tell(null);
          }}
          tell={tell}
          trans={trans}
        />
      )}
    />
  );
}

function Tiles({
  seen,
  zoomed,
  width,
  height,
  series,
  onZoom,
  tell,
  trans
}: {
  readonly seen: ReadonlyArray<ITile>;
  readonly zoomed: Rectangle;
  readonly width: number;
  readonly height: number;
  readonly series: ReadonlyMap<string, number>;
  readonly onZoom: (path: string) => void;
  readonly tell: (tip: ITip | null) => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const [current, setCurrent] = React.useState(zoomed.data.path);
  const svg = React.useRef<SVGSVGElement>(null);
  const paths = new Set(seen.map(tile => tile.node.data.path));
  const entry = paths.has(current) ? current : zoomed.data.path;
  const zoom = (node: Rectangle): void => {
    setCurrent(node.data.path);
    onZoom(node.data.path);
  };
  const onKeyDown = (event: React.KeyboardEvent, tile: ITile): void => {
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      zoom(tile.node);
      return;
    }
    const next = neighbour(tile.node, event.key, paths);
    if (next !== null) {
      event.preventDefault();
      setCurrent(next.data.path);
      const at = seen.findIndex(each => each.node === next);
      (svg.current?.children[at] as SVGElement | undefined)?.focus();
    }
  };
  return (
    <svg ref={svg} role="group" aria-label={trans.__('Time by module')} width={width} height={height}>
      {seen.map(tile => {
        const { path, ms, share, row } = tile.node.data;
        const name = tile.node.depth === 0 ? moduleName('', trans) : tile.node.data.name;
        const tip: ITip = {
          x: Math.min(tile.x + 12, width - 20),
          y: (tile.level + 1) * ROW + 4,
          lines: [
            moduleName(path, trans),
            ...(row === null ? [] : [row.class_name]),
            trans.__('%1 with all below, %2 of the time', format.duration(ms), format.share(share)),
            ...(row === null ? [] : [trans.__('%1 in itself', format.duration(row.self_ms))])
          ]
        };
        return (
          <g
            key={path}
            role="button"
            tabIndex={path === entry ? 0 : -1}
            aria-label={tip.lines.join(', ')}
            data-series={row === null ? undefined : series.get(row.class_name)}
            onClick={() => zoom(tile.node)}
            onKeyDown={event => onKeyDown(event, tile)}
            onFocus={() => tell(tip)}
            onMouseEnter={() => tell(tip)}
          >
            <rect x={tile.x} y={tile.level * ROW} width={Math.max(1, tile.width - 1)} height={ROW - 1} />
            <text x={tile.x + 5} y={tile.level * ROW + 16}>
              {fitted(row === null || tile.width < 160 ? name : `${name} (${format.share(share)})`, tile.width - 8, LETTER)}
            </text>
          </g>
        );
      })}
    </svg>
  );
}
