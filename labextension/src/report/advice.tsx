import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Box } from './box.js';
import * as format from './format.js';
import { Prose, Section } from './prose.js';
import type { Finding, Recommendation } from './schema.js';
import { Bar } from './table.js';

/** What is worth knowing. */
export function Findings({
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

/** What would help, best first. */
export function Recommendations({
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
      <Box label={trans.__('What would help')}>
        <table aria-label={trans.__('What would help')}>
          <thead>
            <tr>
              <th scope="col">{trans.__('Technique')}</th>
              <th scope="col">{trans.__('Predicted')}</th>
              <th scope="col">{trans.__('Covers')}</th>
              <th scope="col">{trans.__('Why, and at what risk')}</th>
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
                      <br />
                      {format.sizeChange(each.predicted_size_ratio)}
                    </span>
                  )}
                </td>
                <td>{each.covers_share === null ? format.UNKNOWN : <Bar share={each.covers_share} />}</td>
                <td>
                  <Prose text={each.reason} />{' '}
                  <span className="jp-JupyterOptimReport-quiet">
                    {trans.__('Risk:')} <Prose text={each.risk} />
                  </span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Box>
    </Section>
  );
}
