import * as React from 'react';

import { stepped } from './keys.js';

export interface ITab {
  readonly name: string;
  readonly title: string;
  readonly draw: () => React.ReactNode;
}

/** One of several parts at a time. Those that were seen are kept, with what the reader did in them. */
export function Tabs({
  tabs,
  label
}: {
  readonly tabs: ReadonlyArray<ITab>;
  readonly label: string;
}): React.ReactElement | null {
  const id = React.useId();
  const list = React.useRef<HTMLDivElement>(null);
  const [chosen, setChosen] = React.useState(tabs[0]?.name ?? '');
  const [seen, setSeen] = React.useState<ReadonlySet<string>>(new Set([chosen]));
  const at = Math.max(0, tabs.findIndex(tab => tab.name === chosen));
  const choose = (i: number): void => {
    const name = tabs[i]?.name ?? '';
    setChosen(name);
    setSeen(before => new Set(before).add(name));
  };
  if (tabs.length === 0) {
    return null;
  }
  return (
    <div className="jp-JupyterOptimReport-section">
      <div
        ref={list}
        role="tablist"
        aria-label={label}
        className="jp-JupyterOptimReport-tabs"
        onKeyDown={event => {
          const next = stepped(event.key, at, tabs.length, 'ArrowLeft', 'ArrowRight');
          if (next !== null) {
            event.preventDefault();
            choose(next);
            (list.current?.children[next] as HTMLElement | undefined)?.focus();
          }
        }}
      >
        {tabs.map((tab, i) => (
          <button
            key={tab.name}
            type="button"
            role="tab"
            id={`${id}${tab.name}-tab`}
            aria-selected={i === at}
            aria-controls={`${id}${tab.name}`}
            tabIndex={i === at ? 0 : -1}
            onClick={() => choose(i)}
          >
            {tab.title}
          </button>
        ))}
      </div>
      {tabs.map((tab, i) => (
        <div
          key={tab.name}
          role="tabpanel"
          id={`${id}${tab.name}`}
          aria-labelledby={`${id}${tab.name}-tab`}
          hidden={i !== at}
        >
          {(i === at || seen.has(tab.name)) && tab.draw()}
        </div>
      ))}
    </div>
  );
}
