import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Findings, Recommendations } from './advice.js';
import { CompiledParts, Unseen } from './beside.js';
import * as format from './format.js';
import { Gpu } from './gpu.js';
import { gain, History } from './history.js';
import { MemoryAtPeak, TrainingStep } from './measured.js';
import { Lines, Modules, Ops } from './rows.js';
import type { Environment, Report } from './schema.js';

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** The whole report, the most important first. */
export function ReportView({
  report,
  figure,
  trans
}: IProps & { readonly figure: string | null }): React.ReactElement {
  return (
    <>
      <Headline report={report} trans={trans} />
      {figure !== null && (
        <img
          className="jp-JupyterOptimReport-figure"
          src={figure}
          alt={trans.__('Where the time of a call goes, and what was tried; the tables below have the figures.')}
        />
      )}
      <Findings findings={report.findings} trans={trans} />
      <Lines report={report} trans={trans} />
      <TrainingStep report={report} trans={trans} />
      <Unseen report={report} trans={trans} />
      <CompiledParts report={report} trans={trans} />
      <Gpu report={report} trans={trans} />
      <Modules report={report} trans={trans} />
      <Ops report={report} trans={trans} />
      <MemoryAtPeak report={report} trans={trans} />
      <Recommendations recommendations={report.recommendations} trans={trans} />
      <History history={report.history} trans={trans} />
      <Conditions report={report} trans={trans} />
    </>
  );
}

function Headline({ report, trans }: IProps): React.ReactElement {
  const { latency, memory, workload } = report;
  const facts = [
    memory.parameters !== null && trans.__('%1 parameters', format.count(memory.parameters)),
    memory.weights_bytes !== null && trans.__('weights %1', format.size(memory.weights_bytes)),
    memory.peak_bytes !== null && trans.__('peak memory %1', format.size(memory.peak_bytes)),
    latency.samples_per_s !== null &&
      trans.__('%1 samples/s', format.significant(latency.samples_per_s)),
    trans._n('%1 repeat', '%1 repeats', latency.repeats),
    latency.status
  ].filter(fact => fact !== false);
  const notes = [report.partial, latency.reason, workload.reason].filter(note => Boolean(note));
  return (
    <header className="jp-JupyterOptimReport-head">
      <p className="jp-JupyterOptimReport-headline">
        <code>{workload.model}</code>{' '}
        {latency.median_ms === null
          ? trans.__('could not be timed')
          : workload.origin === 'trace'
            ? latency.repeats > 0
              ? trans.__('takes %1 a step', format.duration(latency.median_ms))
              : trans.__('takes %1 in all', format.duration(latency.median_ms))
            : trans.__('takes %1 a call', format.duration(latency.median_ms))}
        {latency.low_ms !== null && latency.high_ms !== null && (
          <span className="jp-JupyterOptimReport-quiet">
            {' '}
            {trans.__(
              '(95% CI %1 to %2)',
              format.duration(latency.low_ms),
              format.duration(latency.high_ms)
            )}
          </span>
        )}{' '}
        {place(report, trans)}
        {gain(report.history) !== null &&
          trans.__(', %1 as fast as at first', format.ratio(gain(report.history)))}
      </p>
      <p className="jp-JupyterOptimReport-quiet">{facts.join(' · ')}</p>
      {notes.map((note, i) => (
        <p key={i} className="jp-JupyterOptimReport-notice">
          {note}
        </p>
      ))}
    </header>
  );
}

function place({ environment, workload }: Report, trans: TranslationBundle): string {
  return workload.device === 'cpu'
    ? environment.threads === null
      ? trans.__('on the CPU')
      : trans._n('on %1 CPU thread', 'on %1 CPU threads', environment.threads)
    : trans.__('on %1', environment.gpus[0]?.name ?? workload.device);
}

function Conditions({ report, trans }: IProps): React.ReactElement {
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
