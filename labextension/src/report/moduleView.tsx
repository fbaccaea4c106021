import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Icicle } from './icicle.js';
import { moduleTree } from './moduleTree.js';
import { ModuleGrid } from './moduleGrid.js';
import { classSeries } from './palette.js';
import type { Report } from './schema.js';

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/** The modules as a chart and as a tree. */
export function ModuleView({ report, trans }: IProps): React.ReactElement {
  const root = React.useMemo(() => moduleTree(report.modules), [report.modules]);
  const series = React.useMemo(() => classSeries(report.modules), [report.modules]);
  return (
    <>
      <Icicle root={root} series={series} trans={trans} />
      <ModuleGrid root={root} series={series} trans={trans} />
    </>
  );
}
