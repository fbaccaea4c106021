import type { Kernel } from '@jupyterlab/services';
import { KernelMessage } from '@jupyterlab/services';
import { UUID } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { firstMismatch } from '../report/guard.js';
import type { LiveFrame } from '../report/schema.js';
import { History } from './history.js';
import { TARGET, register, sendComm } from './requests.js';

/** The kernel forgets a viewer after two of these and a half. */
const SIGN_OF_LIFE_MS = 60_000;

/** How a kernel stands to being watched. */
export type LinkState =
  | { readonly kind: 'connecting' | 'starting' | 'busy' | 'live' | 'disconnected' | 'dead' | 'absent' }
  | { readonly kind: 'other-language'; readonly language: string }
  | { readonly kind: 'other-version' }
  | { readonly kind: 'failed'; readonly reason: string };

const FRAME = { $ref: '#/$defs/LiveFrame' };

/**
 * Talks with one kernel: registers the comm's target there, opens a comm while somebody looks, and keeps what comes.
 */
export class KernelLink implements IDisposable {
  constructor(kernel: Kernel.IKernelConnection) {
    this._kernel = kernel;
    kernel.statusChanged.connect(this._onStatus, this);
    kernel.connectionStatusChanged.connect(this._advance, this);
    kernel.iopubMessage.connect(this._onMessage, this);
  }

  readonly history = new History();

  /** Emits as the state changes, and at each frame. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get state(): LinkState {
    if (this._kernel.status === 'dead') {
      return { kind: 'dead' };
    }
    return this._kernel.connectionStatus === 'disconnected' ? { kind: 'disconnected' } : this._state;
  }

  /** For how long nothing has been heard, in seconds. */
  get silentS(): number {
    return (Date.now() - this._heardMs) / 1e3;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Look on from now, at most once in `everyS` seconds, or look away. */
  look(wanted: boolean, everyS: number): void {
    const changed = everyS !== this._everyS && this._commId !== null;
    this._wanted = wanted;
    this._everyS = everyS;
    if (changed && this._isIdle) {
      this._close();
    }
    if (wanted !== (this._commId !== null)) {
      void this._advance();
    }
  }

  /** Ask again where the package was missing. */
  retry(): void {
    this._refused = false;
    void this._advance();
  }

  /** To be called every few seconds while somebody looks: says that we are there, and finds out if the kernel is. */
  tick(): void {
    if (this._commId === null || !this._isIdle) {
      void this._advance();
      return;
    }
    if (this._wanted && this.silentS > 6 + 4 * this._everyS) {
      // the kernel was exchanged, or it has forgotten us while this computer slept
      this._forget();
      void this._advance();
    } else if (Date.now() - this._signMs > SIGN_OF_LIFE_MS) {
      this._signMs = Date.now();
      sendComm(this._kernel, 'comm_msg', { comm_id: this._commId, data: {} });
    }
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._close();
    this._dropSubshell();
    Signal.clearData(this);
  }

  private get _isIdle(): boolean {
    return this._kernel.status === 'idle';
  }

  private _onStatus(_: unknown, status: Kernel.Status): void {
    if (status === 'restarting' || status === 'autorestarting' || status === 'starting') {
      this._forget();
      this._subshell = null;
      this._refused = false;
      this.history.clear();
      this._setState({ kind: 'starting' });
    } else {
      void this._advance();
    }
  }

  /** Do what the kernel's status allows, towards what is wanted. */
  private async _advance(): Promise<void> {
    if (this._isDisposed || this._advancing || this._kernel.status === 'dead') {
      this._changed.emit();
      return;
    }
    this._advancing = true;
    const era = this._era;
    try {
      if (this._isIdle && this._state.kind === 'live') {
        this._dropSubshell();
      }
      if (this._wanted && this._commId === null && !this._refused) {
        await this._connect();
      } else if (!this._wanted && this._isIdle) {
        // not before: an open comm costs little, and might not be had again until the cell ends
        this._close();
      }
    } catch (error) {
      // a restart cancels what was asked before it
      if (era === this._era && !this._isDisposed) {
        this._refused = true;
        this._setState({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
      }
    } finally {
      this._advancing = false;
    }
  }

  private async _connect(): Promise<void> {
    if (this._kernel.connectionStatus !== 'connected' || !ANSWERING.has(this._kernel.status)) {
      return;
    }
    const era = this._era;
    const { language_info } = await this._kernel.info;
    if (language_info.name !== 'python') {
      this._refused = true;
      this._setState({ kind: 'other-language', language: language_info.name });
      return;
    }
    if (!this._registered) {
      if (!this._isIdle) {
        this._setState({ kind: 'busy' });
        return;
      }
      await this._register();
    }
    if (this._registered && era === this._era) {
      await this._open();
    }
  }

  private async _register(): Promise<void> {
    const era = this._era;
    const reply = await register(this._kernel);
    if (era !== this._era || reply.kind === 'aborted') {
      return; // a restart, or the end of a cell that failed: the next tick asks again
    }
    this._registered = reply.kind === 'registered';
    if (reply.kind !== 'registered') {
      this._refused = true;
      this._setState(reply);
    }
  }

  private async _open(): Promise<void> {
    // settled now: a new subshell makes the kernel say that it is idle
    const aside = !this._isIdle;
    if (aside && this._subshell === null && !(await this._makeSubshell())) {
      return;
    }
    this._setState({ kind: 'connecting' });
    this._commId = UUID.uuid4();
    this._heardMs = this._signMs = Date.now();
    const data = { every_s: this._everyS };
    sendComm(
      this._kernel,
      'comm_open',
      { comm_id: this._commId, target_name: TARGET, data },
      aside ? this._subshell : null
    );
  }

  /** A thread of the kernel that answers beside a running cell; it is gone again when the cell ends. */
  private async _makeSubshell(): Promise<boolean> {
    const era = this._era;
    if (!this._kernel.supportsSubshells || this._kernel.commsOverSubshells === 'disabled') {
      this._setState({ kind: 'busy' });
      return false;
    }
    const reply = await this._kernel.requestCreateSubshell({}).done;
    if (era !== this._era) {
      return false;
    }
    this._subshell = reply.content.subshell_id;
    return true;
  }

  private _close(): void {
    if (this._commId !== null && !this._kernel.isDisposed && this._kernel.status !== 'dead') {
      sendComm(this._kernel, 'comm_close', { comm_id: this._commId, data: {} });
    }
    this._commId = null;
  }

  private _dropSubshell(): void {
    if (this._subshell !== null && !this._kernel.isDisposed) {
      this._kernel.requestDeleteSubshell({ subshell_id: this._subshell });
    }
    this._subshell = null;
  }

  /** The comm is gone, and so may be what was registered. */
  private _forget(): void {
    this._era += 1;
    this._commId = null;
    this._registered = false;
    this._setState({ kind: 'connecting' });
  }

  private _onMessage(_: unknown, message: KernelMessage.IIOPubMessage): void {
    if (this._commId === null) {
      return;
    }
    if (KernelMessage.isCommMsgMsg(message) && message.content.comm_id === this._commId) {
      this._receive(message.content.data);
    } else if (KernelMessage.isCommCloseMsg(message) && message.content.comm_id === this._commId) {
      this._forget();
    }
  }

  private _receive(data: unknown): void {
    this._heardMs = Date.now();
    const miss = firstMismatch(data, FRAME, 'frame');
    if (miss !== null) {
      this._refused = true;
      this._close();
      this._setState({ kind: 'other-version' });
      return;
    }
    this.history.add(data as LiveFrame);
    this._setState({ kind: 'live' });
  }

  private _setState(state: LinkState): void {
    this._state = state;
    this._changed.emit();
  }

  private readonly _kernel: Kernel.IKernelConnection;
  private readonly _changed = new Signal<this, void>(this);
  private _state: LinkState = { kind: 'connecting' };
  private _wanted = false;
  private _everyS = 1;
  private _registered = false;
  /** Whether asking again is for nothing until the kernel restarts. */
  private _refused = false;
  private _advancing = false;
  private _commId: string | null = null;
  private _subshell: string | null = null;
  private _heardMs = 0;
  private _signMs = 0;
  /** Counts restarts: what was awaited from before one is void. */
  private _era = 0;
  private _isDisposed = false;
}

const ANSWERING: ReadonlySet<Kernel.Status> = new Set<Kernel.Status>(['idle', 'busy']);
