import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Findings, Recommendations } from './advice.js';
import { CompiledParts, Unseen } from './beside.js';
import { Conditions } from './conditions.js';
import { Gpu } from './gpu.js';
import { HardwareStrip } from './hardwareStrip.js';
import { Headline } from './headline.js';
import { History } from './history.js';
import { keepPlainKeys } from './keys.js';
import { Later } from './later.js';
import { Lines } from './lines.js';
import { TrainingStep } from './measured.js';
import { MemoryView } from './memoryView.js';
import { ModuleView } from './moduleView.js';
import { OpsTable } from './opsTable.js';
import { RooflineChart } from './rooflineChart.js';
import { roofline } from './rooflineData.js';
import type { Report } from './schema.js';
import { Speedups } from './speedups.js';
import { Tabs } from './tabs.js';
import type { ITab } from './tabs.js';
import { TimeBars } from './timeBars.js';

/** What the parts below the charts take on a page, more or less. */
const REST_HEIGHT = 1000;

interface IProps {
  readonly report: Report;
  readonly trans: TranslationBundle;
}

/**
 * The whole report, the most important first. The output's picture is not in it: the two charts at the top say the same,
 * in the colours of the theme.
 */
export function ReportView({ report, trans }: IProps): React.ReactElement {
  return (
    <div onKeyDown={keepPlainKeys}>
      <Headline report={report} trans={trans} />
      <div className="jp-JupyterOptimReport-overview">
        <TimeBars report={report} trans={trans} />
        <Speedups report={report} trans={trans} />
      </div>
      <Later height={REST_HEIGHT}>
        {() => (
          <>
            <Findings findings={report.findings} trans={trans} />
            <Lines report={report} trans={trans} />
            <Unseen report={report} trans={trans} />
            <Tabs label={trans.__('Details of the report')} tabs={tabs(report, trans)} />
            <Recommendations recommendations={report.recommendations} trans={trans} />
            <History history={report.history} trans={trans} />
            <Conditions report={report} trans={trans} />
          </>
        )}
      </Later>
    </div>
  );
}

/** The parts for which this report has figures. */
function tabs(report: Report, trans: TranslationBundle): ITab[] {
  const memory = report.memory;
  const parts: [shown: boolean, tab: ITab][] = [
    [
      report.modules.length > 0,
      {
        name: 'modules',
        title: trans.__('Modules'),
        draw: () => <ModuleView report={report} trans={trans} />
      }
    ],
    [
      report.ops.length > 0,
      {
        name: 'operators',
        title: trans.__('Operators'),
        draw: () => <OpsTable report={report} trans={trans} />
      }
    ],
    [
      (report.training ?? null) !== null,
      {
        name: 'training',
        title: trans.__('Training step'),
        draw: () => <TrainingStep report={report} trans={trans} />
      }
    ],
    [
      (report.gpu ?? null) !== null,
      { name: 'gpu', title: trans.__('GPU'), draw: () => <Gpu report={report} trans={trans} /> }
    ],
    [
      roofline(report) !== null,
      {
        name: 'roofline',
        title: trans.__('Roofline'),
        draw: () => <RooflineChart report={report} trans={trans} />
      }
    ],
    [
      [memory.timeline, memory.at_peak, memory.holders].some(each => (each?.length ?? 0) > 0),
      {
        name: 'memory',
        title: trans.__('Memory'),
        draw: () => <MemoryView report={report} trans={trans} />
      }
    ],
    [
      (report.compiled ?? null) !== null,
      {
        name: 'compiled',
        title: trans.__('Compiled'),
        draw: () => <CompiledParts report={report} trans={trans} />
      }
    ],
    [
      (report.hardware.samples ?? null) !== null,
      {
        name: 'machine',
        title: trans.__('Machine'),
        draw: () => <HardwareStrip report={report} trans={trans} />
      }
    ]
  ];
  return parts.filter(([shown]) => shown).map(([, tab]) => tab);
}
