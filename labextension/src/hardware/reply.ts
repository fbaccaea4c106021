/** What a kernel answered to being asked to register the comm's target. */
export type Registering =
  | { readonly kind: 'registered' }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'other-version' }
  | { readonly kind: 'failed'; readonly reason: string };

/** Reads the reply to an execute request whose user expression `version` registers. */
export function readReply(content: unknown, version: number): Registering {
  if (text(content, 'status') !== 'ok') {
    return { kind: 'aborted' };
  }
  const said = field(field(content, 'user_expressions'), 'version');
  if (text(said, 'status') === 'ok') {
    const found = text(field(said, 'data'), 'text/plain');
    return { kind: found === String(version) ? 'registered' : 'other-version' };
  }
  const name = text(said, 'ename');
  const message = text(said, 'evalue');
  if (name === 'ModuleNotFoundError' && message.includes("'jupyter_optim'")) {
    return { kind: 'absent' };
  }
  if (name === 'ModuleNotFoundError' && message.includes("'jupyter_optim.")) {
    return { kind: 'other-version' };
  }
  return { kind: 'failed', reason: [name, message].filter(Boolean).join(': ') };
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function text(value: unknown, name: string): string {
  const found = field(value, name);
  return typeof found === 'string' ? found : '';
}
