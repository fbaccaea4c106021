import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import * as format from './format.js';
import { Prose, Section } from './prose.js';
import type { Compiled, GraphBreak, Report } from './schema.js';

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** What worked beside the cell, in no operator and no line; nothing if that is not worth a word. */
export function Unseen({ report, trans }: IProps): React.ReactElement | null {
  const unseen = report.unseen ?? null;
  if (unseen === null || (unseen.workers.length === 0 && !unseen.reason)) {
    return null;
  }
  const workers = unseen.workers.map(
    each =>
      `${(each.count ?? 1) > 1 ? `${each.count} × ` : ''}${each.name} ${format.duration(each.cpu_s * 1e3)}`
  );
  return (
    <p className="jp-JupyterOptimReport-quiet">
      {workers.length > 0 &&
        trans.__('Beside the cell, in no operator and no line: %1 of CPU time.', workers.join(', '))}{' '}
      {unseen.reason && trans.__('Work beside the cell is not known in full: %1.', unseen.reason)}
    </p>
  );
}

/** What `torch.compile` made of the model; nothing if no part of it is compiled. */
export function CompiledParts({ report, trans }: IProps): React.ReactElement | null {
  const compiled = report.compiled ?? null;
  return compiled === null ? null : (
    <Section title={trans.__('What was compiled')}>
      <ul>
        <li>{graphs(compiled, trans)}</li>
        {compiled.breaks.map((each, i) => (
          <Place key={`break ${i}`} what={trans.__('graph break')} place={each} />
        ))}
        {(compiled.skipped ?? []).map((each, i) => (
          <Place key={`skipped ${i}`} what={trans.__('not compiled')} place={each} />
        ))}
        {(compiled.recompiles ?? 0) > 0 && (
          <li>{trans._n('compiled again once', 'compiled again %1 times', compiled.recompiles ?? 0)}</li>
        )}
      </ul>
      {compiled.kernels.length > 0 && (
        <details>
          <summary>
            {trans._n('%1 kernel that the compiler wrote', '%1 kernels that the compiler wrote', compiled.kernels.length)}
          </summary>
          <ul>
            {compiled.kernels.map((each, i) => (
              <li key={i}>
                <code>{each.name}</code> {each.ms !== null && format.duration(each.ms)}{' '}
                {[...each.ops, ...each.modules].join(', ')}
              </li>
            ))}
          </ul>
        </details>
      )}
    </Section>
  );
}

function graphs(compiled: Compiled, trans: TranslationBundle): string {
  if (compiled.graphs === null) {
    return compiled.reason ?? format.UNKNOWN;
  }
  const words = trans.__('graphs that run in one call: %1', format.count(compiled.graphs));
  return compiled.compiled_ms === null
    ? words
    : `${words}, ${format.duration(compiled.compiled_ms)} (${format.share(compiled.share)})`;
}

function Place({
  what,
  place
}: {
  readonly what: string;
  readonly place: GraphBreak;
}): React.ReactElement {
  return (
    <li>
      {what}: <Prose text={place.reason} />{' '}
      {place.line !== null && <code className="jp-JupyterOptimReport-quiet">{place.line}</code>}{' '}
      <Prose text={place.hint ?? ''} />
    </li>
  );
}
