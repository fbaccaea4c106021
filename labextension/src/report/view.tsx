import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import { MemoryAtPeak, TrainingStep } from './measured.js';
import type { Environment, Finding, Recommendation, Report, StepRecord } from './schema.js';
import { Bar, RankedTable } from './table.js';
import { moduleName, opTotals } from './totals.js';

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
    trans.__('%1 parameters', format.count(memory.parameters)),
    trans.__('weights %1', format.size(memory.weights_bytes)),
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

/** The speed-up of all changes in place together, or null if there is none. */
function gain(history: ReadonlyArray<StepRecord>): number | null {
  const speedups = history.flatMap(step =>
    step.accepted && !step.undone && step.speedup !== null ? [step.speedup.median] : []
  );
  return speedups.length === 0 ? null : speedups.reduce((a, b) => a * b, 1);
}

function place({ environment, workload }: Report, trans: TranslationBundle): string {
  return workload.device === 'cpu'
    ? environment.threads === null
      ? trans.__('on the CPU')
      : trans._n('on %1 CPU thread', 'on %1 CPU threads', environment.threads)
    : trans.__('on %1', workload.device);
}

function Findings({
  findings,
  trans
}: {
  readonly findings: ReadonlyArray<Finding>;
  readonly trans: TranslationBundle;
}): React.ReactElement | null {
  if (findings.length === 0) {
    return null;
  }
  const severities = {
    high: trans.__('high'),
    medium: trans.__('medium'),
    low: trans.__('low'),
    info: trans.__('note')
  };
  return (
    <Section title={trans.__('Findings')}>
      <ul className="jp-JupyterOptimReport-findings">
        {findings.map((finding, i) => (
          <li key={i} data-severity={finding.severity}>
            <span className="jp-JupyterOptimReport-tag">{severities[finding.severity]}</span>{' '}
            <strong>
              <Prose text={finding.title} />
            </strong>{' '}
            <Prose text={finding.text} />
            {finding.evidence !== undefined && finding.evidence.length > 0 && (
              <details>
                <summary>{trans.__('Evidence')}</summary>
                <ul>
                  {finding.evidence.map((each, j) => (
                    <li key={j}>
                      <Prose text={each} />
                    </li>
                  ))}
                </ul>
              </details>
            )}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Lines({ report, trans }: IProps): React.ReactElement {
  return (
    <RankedTable
      caption={trans.__('Lines of your code')}
      note={trans.__('Inclusive time of what the line calls.')}
      columns={[trans.__('Line'), trans.__('Code'), trans.__('Time'), trans.__('Memory')]}
      rows={[...report.lines]
        .sort((a, b) => b.ms - a.ms)
        .map(line => ({
          key: `${line.source}:${line.lineno}`,
          cells: [
            `${line.source}:${line.lineno}`,
            <code>{line.text.trim()}</code>,
            line.estimated === true
              ? trans.__('%1 (estimated)', format.duration(line.ms))
              : format.duration(line.ms),
            (line.bytes ?? null) === null ? '' : format.size(line.bytes ?? null)
          ],
          share: line.share
        }))}
      trans={trans}
    />
  );
}

function Modules({ report, trans }: IProps): React.ReactElement {
  return (
    <RankedTable
      caption={trans.__('Modules')}
      note={trans.__('Share of the time in the module itself, without the modules that it calls.')}
      columns={[
        trans.__('Module'),
        trans.__('Class'),
        trans.__('Calls'),
        trans.__('Self'),
        trans.__('Total')
      ]}
      rows={[...report.modules]
        .sort((a, b) => b.share - a.share)
        .map(row => ({
          key: row.path,
          cells: [
            <code>{moduleName(row.path, trans)}</code>,
            row.class_name,
            format.count(row.calls),
            format.duration(row.self_ms),
            format.duration(row.total_ms)
          ],
          share: row.share
        }))}
      trans={trans}
    />
  );
}

function Ops({ report, trans }: IProps): React.ReactElement {
  return (
    <RankedTable
      caption={trans.__('Operators')}
      note={trans.__('Share of the time in the operator itself, over all modules.')}
      columns={[trans.__('Operator'), trans.__('Device'), trans.__('Calls'), trans.__('Self')]}
      rows={opTotals(report.ops).map(op => ({
        key: `${op.name} ${op.device}`,
        cells: [
          <code>{op.name}</code>,
          op.device,
          format.count(op.calls),
          format.duration(op.selfMs)
        ],
        share: op.share
      }))}
      trans={trans}
    />
  );
}

function Recommendations({
  recommendations,
  trans
}: {
  readonly recommendations: ReadonlyArray<Recommendation>;
  readonly trans: TranslationBundle;
}): React.ReactElement | null {
  if (recommendations.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('What would help')}>
      <table>
        <thead>
          <tr>
            <th scope="col">{trans.__('Technique')}</th>
            <th scope="col">{trans.__('Predicted')}</th>
            <th scope="col">{trans.__('Covers')}</th>
            <th scope="col">{trans.__('Why')}</th>
            <th scope="col">{trans.__('Risk')}</th>
          </tr>
        </thead>
        <tbody>
          {recommendations.map(each => (
            <tr key={each.technique}>
              <th scope="row">
                {each.label} <code>{each.technique}</code>
              </th>
              <td className="jp-JupyterOptimReport-number" title={each.method}>
                {format.ratio(each.predicted_speedup)}
                {each.predicted_size_ratio !== null && (
                  <span className="jp-JupyterOptimReport-quiet">
                    {' '}
                    {format.sizeChange(each.predicted_size_ratio)}
                  </span>
                )}
              </td>
              <td>{each.covers_share === null ? format.UNKNOWN : <Bar share={each.covers_share} />}</td>
              <td>
                <Prose text={each.reason} />
              </td>
              <td>
                <Prose text={each.risk} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

function History({
  history,
  trans
}: {
  readonly history: ReadonlyArray<StepRecord>;
  readonly trans: TranslationBundle;
}): React.ReactElement | null {
  if (history.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('History')}>
      <table>
        <thead>
          <tr>
            <th scope="col">{trans.__('Technique')}</th>
            <th scope="col">{trans.__('Verdict')}</th>
            <th scope="col">{trans.__('Speed-up (95% CI)')}</th>
            <th scope="col">{trans.__('Before')}</th>
            <th scope="col">{trans.__('After')}</th>
            <th scope="col">{trans.__('Size')}</th>
            <th scope="col">{trans.__('Quality')}</th>
            <th scope="col">{trans.__('Outcome')}</th>
          </tr>
        </thead>
        <tbody>
          {history.map((step, i) => (
            <tr key={i} data-verdict={step.verdict}>
              <th scope="row">{step.label}</th>
              <td>
                <span className="jp-JupyterOptimReport-tag">{step.verdict}</span>
              </td>
              <td className="jp-JupyterOptimReport-number">{format.ratioInterval(step.speedup)}</td>
              <td className="jp-JupyterOptimReport-number">{format.duration(step.before_ms)}</td>
              <td className="jp-JupyterOptimReport-number">{format.duration(step.after_ms)}</td>
              <td className="jp-JupyterOptimReport-number">{format.sizeChange(step.size_ratio)}</td>
              <td>{quality(step)}</td>
              <td>
                <strong>{outcome(step, trans)}</strong>{' '}
                <Prose text={(step.verdict === 'failed' ? step.reason : step.note) ?? ''} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

function quality({ quality }: StepRecord): string {
  return quality === null
    ? format.UNKNOWN
    : `${quality.metric === 'fidelity' ? 'cosine' : quality.metric} ${format.score(quality.before)} → ${format.score(quality.after)}`;
}

function outcome(step: StepRecord, trans: TranslationBundle): string {
  if (!step.accepted) {
    return trans.__('left out');
  }
  return step.undone ? trans.__('undone') : trans.__('kept');
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
          {[environment.os, ...Object.entries(versions).map(([name, version]) => `${name} ${version}`)].join(
            ', '
          )}
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

/** Text whose names stand in backticks, as Python's sentences have them. */
function Prose({ text }: { readonly text: string }): React.ReactElement {
  const parts = text.split('`');
  // an odd number of backticks is no markup
  return parts.length % 2 === 0 ? (
    <>{text}</>
  ) : (
    <>{parts.map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part))}</>
  );
}

function Section({
  title,
  children
}: {
  readonly title: string;
  readonly children: React.ReactNode;
}): React.ReactElement {
  return (
    <section className="jp-JupyterOptimReport-section">
      <h4>{title}</h4>
      {children}
    </section>
  );
}
