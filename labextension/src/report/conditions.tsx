import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import type { Environment, Report } from './schema.js';

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** How and on what it was measured, folded away. */
export function Conditions({ report, trans }: IProps): React.ReactElement {
  const { environment, latency, memory, trace } = report;
  const versions = { python: environment.python, torch: environment.torch, ...environment.libraries };
  return (
    <details className="jp-JupyterOptimReport-section">
      <summary>{trans.__('How and on what this was measured')}</summary>
      <dl>
        <dt>{trans.__('Processor')}</dt>
        <dd>
          {[
            environment.cpu_model,
            environment.physical_cores !== null &&
              trans._n('%1 core', '%1 cores', environment.physical_cores),
            environment.threads === null
              ? format.UNKNOWN
              : trans._n('%1 thread', '%1 threads', environment.threads),
            ...environment.isa
          ]
            .filter(Boolean)
            .join(', ')}
        </dd>
        <dt>{trans.__('GPU')}</dt>
        <dd>{gpus(environment)}</dd>
        <dt>{trans.__('Software')}</dt>
        <dd>
          {[
            environment.os,
            ...Object.entries(versions).map(([name, version]) => version && `${name} ${version}`)
          ]
            .filter(Boolean)
            .join(', ') || format.UNKNOWN}
        </dd>
        <dt>{trans.__('Latency')}</dt>
        <dd>{latency.method}</dd>
        <dt>{trans.__('Memory')}</dt>
        <dd>{sentence(memory.method, memory.reason)}</dd>
        <dt>{trans.__('Attribution')}</dt>
        <dd>{sentence(trace.method, trace.reason)}</dd>
      </dl>
    </details>
  );
}

function gpus({ gpus, gpu_reason }: Environment): string {
  const names = gpus.map(gpu => gpu.name ?? `GPU ${gpu.index}`);
  return [...names, gpu_reason].filter(Boolean).join(', ') || format.UNKNOWN;
}

function sentence(method: string, reason: string | null | undefined): string {
  return reason ? `${method} (${reason})` : method;
}
