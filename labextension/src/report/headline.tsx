import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import { Prose } from './prose.js';
import type { Report } from './schema.js';
import { sentence } from './sentence.js';

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** The sentence that says it all, the figures that a reader looks for next, and what limits them. */
export function Headline({ report, trans }: IProps): React.ReactElement {
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
  const notes = [
    report.partial && trans.__('This report is incomplete: %1', report.partial),
    latency.median_ms === null ? null : latency.reason,
    workload.reason
  ].filter(note => Boolean(note));
  return (
    <div className="jp-JupyterOptimReport-head">
      <h3 className="jp-JupyterOptimReport-headline">
        <Prose text={sentence(report, trans)} />
      </h3>
      <p className="jp-JupyterOptimReport-quiet">{facts.join(' · ')}</p>
      {notes.map((note, i) => (
        <p key={i} className="jp-JupyterOptimReport-notice">
          <Prose text={note ?? ''} />
        </p>
      ))}
    </div>
  );
}
