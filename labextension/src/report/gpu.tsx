import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import type { GpuTime, Report } from './schema.js';
import { RankedTable } from './table.js';

/** Kernels are named by their C++ templates. */
const LONGEST = 60;

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** What the accelerator did in a call, and what kept it; nothing if none worked. */
export function Gpu({ report, trans }: IProps): React.ReactElement | null {
  const gpu = report.gpu ?? null;
  return gpu === null ? null : (
    <>
      <RankedTable
        caption={trans.__('What the GPU did in a call')}
        note={summary(gpu, trans)}
        columns={[trans.__('The GPU'), trans.__('Time'), trans.__('Note')]}
        rows={[
          {
            key: 'worked',
            cells: [
              trans.__('worked'),
              format.duration(gpu.busy_ms),
              trans.__('%1 kernels', format.count(gpu.launches))
            ],
            share: gpu.busy_share
          },
          ...gpu.idle.map(each => ({
            key: each.reason,
            cells: [
              trans.__('idle: %1', reasons(trans)[each.reason]),
              format.duration(each.ms),
              [
                each.gaps === 1 ? trans.__('1 gap') : trans.__('%1 gaps', format.count(each.gaps)),
                each.op,
                each.line
              ]
                .filter(Boolean).join(', ')
            ],
            share: each.share
          })),
          ...(gpu.streams.length > 1 ? gpu.streams : []).map(each => ({
            key: `stream ${each.stream}`,
            cells: [
              trans.__('stream %1', each.stream),
              format.duration(each.ms),
              trans.__('%1 kernels', format.count(each.kernels))
            ],
            share: each.share
          }))
        ]}
        trans={trans}
      />
      <RankedTable
        caption={trans.__('Kernels')}
        note={trans.__('With the operator that launched them; share of the time in which the GPU worked.')}
        columns={[
          trans.__('Kernel'),
          trans.__('Operator'),
          trans.__('Calls'),
          trans.__('Time'),
          trans.__('Tensor cores'),
          trans.__('Occupancy')
        ]}
        rows={gpu.kernels.map((each, i) => ({
          key: `${i}`,
          cells: [
            <code title={each.name}>{short(each.name)}</code>,
            <span title={[each.module, each.line].filter(Boolean).join(', ')}>{each.op ?? format.UNKNOWN}</span>,
            format.count(each.calls),
            format.duration(each.ms),
            each.tensor_cores === null ? '' : each.tensor_cores ? trans.__('yes') : trans.__('no'),
            each.occupancy === null ? '' : format.share(each.occupancy)
          ],
          share: each.share
        }))}
        trans={trans}
      />
      <RankedTable
        caption={trans.__('Copies and fills')}
        note={trans.__('Share of the time in which the GPU worked.')}
        columns={[trans.__('Copies'), trans.__('Calls'), trans.__('Time'), trans.__('Size')]}
        rows={gpu.copies.map((each, i) => ({
          key: `${i}`,
          cells: [
            each.pageable ? trans.__('%1 (pageable memory)', each.kind) : each.kind,
            format.count(each.calls),
            format.duration(each.ms),
            format.size(each.bytes)
          ],
          share: gpu.busy_ms > 0 ? each.ms / gpu.busy_ms : 0
        }))}
        trans={trans}
      />
    </>
  );
}

function summary(gpu: GpuTime, trans: TranslationBundle): string {
  return [
    gpu.tensor_core_share !== null &&
      trans.__('%1 of the time in products on tensor cores', format.share(gpu.tensor_core_share)),
    gpu.occupancy !== null && trans.__('occupancy %1', format.share(gpu.occupancy)),
    gpu.sm_share !== null && trans.__('%1 of the multiprocessors used', format.share(gpu.sm_share))
  ]
    .filter(Boolean)
    .join('; ');
}

function reasons(trans: TranslationBundle): Record<GpuTime['idle'][number]['reason'], string> {
  return {
    launch: trans.__('the host was still launching'),
    synchronisation: trans.__('the host had waited for a result'),
    'data loading': trans.__('the host was fetching a batch'),
    'between kernels': trans.__('between kernels'),
    'before the first': trans.__('before the first kernel'),
    'after the last': trans.__('after the last kernel'),
    unknown: trans.__('the trace does not tell why')
  };
}

/** A name that fits into a table; the whole of it is in the tooltip. */
function short(name: string): string {
  return name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name;
}
