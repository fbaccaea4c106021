import * as React from 'react';

/** Text whose names stand in backticks, as Python's sentences have them. */
export function Prose({ text }: { readonly text: string }): React.ReactElement {
  const parts = text.split('`');
  // an odd number of backticks is no markup
  return parts.length % 2 === 0 ? (
    <>{text}</>
  ) : (
    <>{parts.map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part))}</>
  );
}

/** A part of the report under a heading. */
export function Section({
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
