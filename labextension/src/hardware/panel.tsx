import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import type { LiveFrame, LiveGpu, LiveSensor } from '../report/schema.js';
import { Cells } from './cells.js';
import { bands } from './history.js';
import type { History } from './history.js';
import { hardwareIcon } from './icon.js';
import type { HardwareModel } from './model.js';
import { Notice } from './notice.js';
import { Missing, Sensor } from './sensor.js';

/** The side panel: the machine of the current document's kernel, live. */
export class HardwarePanel extends ReactWidget {
  constructor(model: HardwareModel, trans: TranslationBundle) {
    super();
    this._model = model;
    this._trans = trans;
    this.id = 'jupyter-optim-hardware';
    this.addClass('jp-JupyterOptimHardware');
    this.title.icon = hardwareIcon;
    this.title.caption = trans.__("Hardware of the kernel's machine");
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this.title.caption);
    model.addView(() => this.isVisible);
    model.changed.connect(this._onChanged, this);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._model.update();
    this.update();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._model.update();
  }

  protected override render(): JSX.Element {
    const trans = this._trans;
    const { link, document } = this._model;
    const frame = link?.history.latest ?? null;
    return (
      <>
        <header>
          <h2>{this.title.caption}</h2>
          {document !== null && (
            <div className="jp-JupyterOptimHardware-quiet">{document.title.label}</div>
          )}
        </header>
        {link === null ? (
          <p role="status">
            {document === null
              ? trans.__("Open a notebook or a console: its kernel's machine is shown here.")
              : trans.__('There is no kernel. Start one to see its machine.')}
          </p>
        ) : (
          <Notice link={link} everyS={frame?.every_s ?? 1} trans={trans} />
        )}
        {link !== null && frame !== null && <Figures frame={frame} history={link.history} trans={trans} />}
      </>
    );
  }

  private _onChanged(): void {
    if (this.isVisible) {
      this.update();
    }
  }

  private readonly _model: HardwareModel;
  private readonly _trans: TranslationBundle;
}

interface IFiguresProps {
  readonly frame: LiveFrame;
  readonly history: History;
  readonly trans: TranslationBundle;
}

function Figures({ frame, history, trans }: IFiguresProps): JSX.Element {
  const shown = bands(frame);
  const missing = frame.sensors.filter(sensor => sensor.value === null);
  const list = (sensors: ReadonlyArray<LiveSensor>): JSX.Element => (
    <ul>
      {sensors.map(sensor => (
        <Sensor key={sensor.key} {...{ sensor, frame, history, trans, bands: shown }} />
      ))}
    </ul>
  );
  const known = (gpu: number | null): LiveSensor[] =>
    frame.sensors.filter(sensor => sensor.gpu === gpu && sensor.value !== null);
  return (
    <>
      <Cells bands={shown} nowS={frame.at_s} trans={trans} />
      {list(known(null))}
      {frame.gpus.map(gpu => (
        <section key={gpu.index}>
          <h3>{gpuName(gpu, trans)}</h3>
          {gpu.note !== null && <p className="jp-JupyterOptimHardware-quiet">{gpu.note}</p>}
          {list(known(gpu.index))}
        </section>
      ))}
      <Missing sensors={missing} gpuReason={frame.gpu_reason} trans={trans} />
    </>
  );
}

function gpuName(gpu: LiveGpu, trans: TranslationBundle): string {
  return gpu.name === null ? trans.__('GPU %1', gpu.index) : trans.__('GPU %1: %2', gpu.index, gpu.name);
}
