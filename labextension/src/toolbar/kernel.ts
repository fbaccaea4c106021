// Questions to the notebook's kernel, which leave nothing in the notebook, in `Out` or in the history.

import type { ISessionContext } from '@jupyterlab/apputils';
import type { KernelMessage } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import { LOAD } from './magic.js';

/** What Python shows of a value: a text for each MIME type. */
export type Shown = Readonly<Record<string, unknown>>;

/** Something that keeps a command from its work, in the user's words. */
export class Obstacle extends Error {}

/**
 * The value of a Python expression.
 *
 * @throws Obstacle - if there is no kernel, or it was restarted meanwhile, or the expression raised.
 */
export async function evaluate(
  context: ISessionContext,
  expression: string,
  trans: TranslationBundle
): Promise<Shown> {
  const reply = await ask(context, { code: '', user_expressions: { answer: expression } }, trans);
  const expressions = 'user_expressions' in reply ? reply.user_expressions : {};
  const answer: unknown = expressions['answer'];
  if (isObject(answer) && isObject(answer['data'])) {
    return answer['data'];
  }
  throw new Obstacle(said(isObject(answer) ? answer : {}, trans));
}

/**
 * Make `%%optimize` known to the kernel, where it is not. The request is sent before this returns.
 *
 * @throws Obstacle - if that cannot be.
 */
export async function loadExtension(
  context: ISessionContext,
  trans: TranslationBundle
): Promise<void> {
  const reply = await ask(context, { code: LOAD }, trans);
  if (reply.status !== 'ok') {
    throw new Obstacle(said({ ...reply }, trans));
  }
}

type Request = Pick<KernelMessage.IExecuteRequestMsg['content'], 'code' | 'user_expressions'>;
type Reply = KernelMessage.IExecuteReplyMsg['content'];

async function ask(
  context: ISessionContext,
  request: Request,
  trans: TranslationBundle
): Promise<Reply> {
  if (context.session === null) {
    await context.ready;
  }
  const kernel = context.session?.kernel ?? null;
  if (kernel === null) {
    throw new Obstacle(trans.__('There is no running kernel. Choose one, and run the cells above.'));
  }
  const quietly = { silent: true, store_history: false, allow_stdin: false, stop_on_error: false };
  try {
    return (await kernel.requestExecute({ ...request, ...quietly }).done).content;
  } catch (error) {
    throw new Obstacle(
      trans.__('The kernel did not answer (%1).', error instanceof Error ? error.message : error)
    );
  }
}

function said(error: Readonly<Record<string, unknown>>, trans: TranslationBundle): string {
  const { ename, evalue } = error;
  if (ename === 'ModuleNotFoundError') {
    return trans.__(
      'jupyter_optim is not installed where this kernel runs: %1. Install it there with %2.',
      String(evalue),
      '%pip install jupyter-optim'
    );
  }
  return typeof evalue === 'string' && evalue !== ''
    ? evalue
    : trans.__('The kernel gave no answer.');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
