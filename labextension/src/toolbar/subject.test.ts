import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MIME_TYPE } from '../report/schema.js';

import { isOurs } from './subject.js';

test('reports, the controls below them and cards are ours; what the cell itself showed is not', () => {
  assert.ok(isOurs({ [MIME_TYPE]: {}, 'text/html': '<p>' }));
  assert.ok(isOurs({ 'text/html': ['<div class="jupyter-optim-no-', 'controls">'] }));
  assert.ok(isOurs({ 'text/html': '<div class="jupyter-optim-card" role="note">' }));
  assert.ok(!isOurs({ 'text/html': '<p>jupyter-optim is a package</p>' }));
  assert.ok(!isOurs({ 'text/plain': 'torch.Size([64, 10])' }));
  assert.ok(!isOurs(undefined));
});
