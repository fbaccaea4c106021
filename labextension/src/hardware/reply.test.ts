import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readReply } from './reply.js';

function answered(version: object): object {
  return { status: 'ok', user_expressions: { version } };
}

function failed(ename: string, evalue: string): object {
  return answered({ status: 'error', ename, evalue });
}

test('the version that is registered must be ours', () => {
  const said = answered({ status: 'ok', data: { 'text/plain': '1' } });
  assert.equal(readReply(said, 1).kind, 'registered');
  assert.equal(readReply(said, 2).kind, 'other-version');
});

test('a package that is missing is told apart from one that is too old, and from one that fails', () => {
  const missing = (name: string): object => failed('ModuleNotFoundError', `No module named '${name}'`);
  assert.equal(readReply(missing('jupyter_optim'), 1).kind, 'absent');
  assert.equal(readReply(missing('jupyter_optim.notebook.live'), 1).kind, 'other-version');
  assert.deepEqual(readReply(missing('psutil'), 1), {
    kind: 'failed',
    reason: "ModuleNotFoundError: No module named 'psutil'"
  });
});

test('a request that was aborted is no answer, and neither is nonsense', () => {
  assert.equal(readReply({ status: 'aborted' }, 1).kind, 'aborted');
  assert.equal(readReply(null, 1).kind, 'aborted');
  assert.equal(readReply({ status: 'ok' }, 1).kind, 'failed');
});
