import type { Kernel } from '@jupyterlab/services';
import { KernelMessage } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';

import { LIVE_VERSION } from '../report/schema.js';
import { readReply } from './reply.js';
import type { Registering } from './reply.js';

export const TARGET = 'jupyter-optim-hardware';

/** An expression, so that it leaves no name in the user's namespace, and prints nothing where the package is missing. */
const REGISTER = '__import__("importlib").import_module("jupyter_optim.notebook.live").register()';

/** Have the kernel register the comm's target; it answers when no cell runs. */
export async function register(kernel: Kernel.IKernelConnection): Promise<Registering> {
  const future = kernel.requestExecute({
    code: '',
    silent: true,
    store_history: false,
    allow_stdin: false,
    stop_on_error: false,
    user_expressions: { version: REGISTER }
  });
  return readReply((await future.done).content, LIVE_VERSION);
}

/**
 * Send a comm's message; not through `createComm`, which refuses on the second connection to a kernel, as a console
 * beside a notebook has it.
 */
export function sendComm(
  kernel: Kernel.IKernelConnection,
  msgType: 'comm_open' | 'comm_msg' | 'comm_close',
  content: JSONObject,
  subshellId: string | null = null
): void {
  const message = KernelMessage.createMessage({
    msgType,
    channel: 'shell',
    username: kernel.username,
    session: kernel.clientId,
    subshellId,
    content
  } as KernelMessage.IOptions<KernelMessage.ICommOpenMsg<'shell'>>);
  kernel.sendShellMessage(message, false, true);
}
