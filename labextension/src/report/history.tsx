import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { scaleLinear } from 'd3-scale';

import { Box } from './box.js';
import * as format from './format.js';
import { possible } from './gain.js';
import { stepLabel } from './names.js';
import { Prose, Section } from './prose.js';
import type { Quality, StepRecord } from './schema.js';
import { stateWords } from './tries.js';

/** Steps shown at most, the latest. */
const STEPS = 30;
const BAR = 150;

interface IProps {
  readonly history: ReadonlyArray<StepRecord>;
  readonly trans: TranslationBundle;
}

/** What was tried, in order, with the time of a call before and after, and what came of it. */
export function History({ history, trans }: IProps): React.ReactElement | null {
  if (history.length === 0) {
    return null;
  }
  const skipped = Math.max(0, history.length - STEPS);
  const shown = history.slice(skipped);
  const longest = Math.max(0, ...shown.flatMap(step => [step.before_ms ?? 0, step.after_ms ?? 0]));
  return (
    <Section title={trans.__('History')}>
      <Box label={trans.__('History')}>
        <table aria-label={trans.__('History')} className="jp-JupyterOptimReport-wide">
          <thead>
            <tr>
              <th scope="col">{trans.__('Technique')}</th>
              <th scope="col">{trans.__('Verdict')}</th>
              <th scope="col">{trans.__('Before and after')}</th>
              <th scope="col">{trans.__('Speed-up (95% CI)')}</th>
              <th scope="col">{trans.__('Size')}</th>
              <th scope="col">{trans.__('Quality')}</th>
              <th scope="col">{trans.__('Outcome')}</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((step, i) => (
              <tr key={i} data-verdict={step.verdict}>
                <th scope="row">{`${skipped + i + 1}. ${stepLabel(step)}`}</th>
                <td>
                  <span className="jp-JupyterOptimReport-tag">{step.verdict}</span>
                </td>
                <td>
                  <BeforeAfter step={step} longest={longest} trans={trans} />
                </td>
                <td className="jp-JupyterOptimReport-number">{format.ratioInterval(step.speedup)}</td>
                <td className="jp-JupyterOptimReport-number">{format.sizeChange(step.size_ratio)}</td>
                <td>{step.quality === null ? format.UNKNOWN : quality(step.quality)}</td>
                <td>
                  <strong>{stateWords(step, trans)}</strong>{' '}
                  <Prose text={step.verdict === 'failed' ? step.reason : (step.note ?? '')} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Box>
      {skipped > 0 && (
        <p className="jp-JupyterOptimReport-quiet">
          {trans._n('and %1 earlier step', 'and %1 earlier steps', skipped)}
        </p>
      )}
    </Section>
  );
}

/** Two bars of time on one scale, all steps alike; the whisker is the interval of the time after. */
function BeforeAfter({
  step,
  longest,
  trans
}: {
  readonly step: StepRecord;
  readonly longest: number;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { before_ms: before, after_ms: after, speedup } = step;
  if (before === null || after === null || longest <= 0) {
    return <>{format.UNKNOWN}</>;
  }
  const x = scaleLinear().domain([0, longest * 1.05]).range([0, BAR]).clamp(true);
  const drawn = speedup !== null && [speedup.low, speedup.high].every(possible) ? speedup : null;
  const whisker =
    drawn === null ? null : ([x(before / drawn.high), x(before / drawn.low)] as const);
  return (
    <div className="jp-JupyterOptimReport-pair">
      <svg aria-hidden="true" width={BAR} height={34}>
        <rect data-kind="between" x={0} y={3} width={Math.max(1, x(before))} height={11} />
        <rect className="jp-JupyterOptimReport-after" x={0} y={20} width={Math.max(1, x(after))} height={11} />
        {whisker !== null && (
          <path
            className="jp-JupyterOptimReport-whisker"
            d={`M${whisker[0]} 25.5H${whisker[1]}M${whisker[0]} 21v9M${whisker[1]} 21v9`}
          />
        )}
      </svg>
      <span>
        <span className="jp-JupyterOptimReport-unseen">{trans.__('before')} </span>
        {format.duration(before)}
        <br />
        <span className="jp-JupyterOptimReport-unseen">{trans.__('after')} </span>
        {format.duration(after)}
      </span>
    </div>
  );
}

/** What a step did to the answers: `evaluate 0.994 -> 0.993 (at most 0.01 less allowed)`. */
function quality(found: Quality): string {
  const metric = found.metric === 'fidelity' ? 'cosine' : found.metric;
  const details = Object.entries(found.details ?? {})
    .map(([name, value]) => `, ${name.replace(/_/g, ' ')} ${format.score(value)}`)
    .join('');
  return found.metric === 'fidelity'
    ? `${metric} ${format.score(found.after)} (at least ${format.score(found.before - found.max_drop)} asked)${details}`
    : `${metric} ${format.score(found.before)} → ${format.score(found.after)} (at most ${format.score(found.max_drop)} less allowed)${details}`;
}
