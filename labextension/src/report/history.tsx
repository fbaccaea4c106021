import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import { Prose, Section } from './prose.js';
import type { StepRecord } from './schema.js';

/** What was tried, in order, and what came of it. */
export function History({
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

/** The speed-up of all changes in place together, or null if there is none. */
export function gain(history: ReadonlyArray<StepRecord>): number | null {
  const speedups = history.flatMap(step =>
    step.accepted && !step.undone && step.speedup !== null ? [step.speedup.median] : []
  );
  return speedups.length === 0 ? null : speedups.reduce((a, b) => a * b, 1);
}
