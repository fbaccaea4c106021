import type { Kernel } from '@jupyterlab/services';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { Follower, IDocument } from './follower.js';
import { KernelLink } from './link.js';

/** While somebody looks, so often is asked whether all is well. */
const TICK_MS = 2_000;

/** The kernel that is followed, and whether anybody looks. */
export class HardwareModel {
  constructor(follower: Follower) {
    this._follower = follower;
    follower.changed.connect(this._onDocument, this);
    document.addEventListener('visibilitychange', () => this.update());
    window.addEventListener('pagehide', () => this._links.forEach(link => link.dispose()));
    // also while nobody looks: a status bar that is hidden or shown tells nobody
    window.setInterval(() => this._tick(), TICK_MS);
    this._onDocument();
  }

  /** Emits as anything changes that is shown. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get document(): IDocument | null {
    return this._document;
  }

  /** What is known of the document's kernel; null where it has none. */
  get link(): KernelLink | null {
    return this._link;
  }

  /** `looks` is asked whether a view is on the screen now. */
  addView(looks: () => boolean): void {
    this._views.push(looks);
    this.update();
  }

  set everyS(seconds: number) {
    this._everyS = seconds;
    this.update();
  }

  /** Look again at who looks, and at which kernel. */
  update(): void {
    const looked = document.visibilityState === 'visible' && this._views.some(looks => looks());
    for (const link of this._links.values()) {
      link.look(looked && link === this._link, this._everyS);
    }
  }

  private _tick(): void {
    this.update();
    this._link?.tick();
    if (this._link?.state.kind === 'live' && this._link.silentS > 3) {
      this._emit();
    }
  }

  private _onDocument(): void {
    this._document?.sessionContext.kernelChanged.disconnect(this._onKernel, this);
    this._document?.title.changed.disconnect(this._emit, this);
    this._document = this._follower.current;
    this._document?.sessionContext.kernelChanged.connect(this._onKernel, this);
    this._document?.title.changed.connect(this._emit, this);
    this._onKernel();
  }

  private _onKernel(): void {
    const kernel = this._document?.sessionContext.session?.kernel ?? null;
    this._link?.changed.disconnect(this._emit, this);
    this._link = kernel === null ? null : this._linkTo(kernel);
    this._link?.changed.connect(this._emit, this);
    this.update();
    this._emit();
  }

  /** The link stays while the kernel does: a busy one may not be asked again. */
  private _linkTo(kernel: Kernel.IKernelConnection): KernelLink {
    const known = this._links.get(kernel);
    if (known !== undefined) {
      return known;
    }
    const link = new KernelLink(kernel);
    this._links.set(kernel, link);
    kernel.disposed.connect(() => {
      this._links.delete(kernel);
      link.dispose();
    });
    return link;
  }

  private _emit(): void {
    this._changed.emit();
  }

  private readonly _follower: Follower;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _links = new Map<Kernel.IKernelConnection, KernelLink>();
  private readonly _views: (() => boolean)[] = [];
  private _document: IDocument | null = null;
  private _link: KernelLink | null = null;
  private _everyS = 1;
}
