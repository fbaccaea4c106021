import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cellMagic, isOptimized, loadsExtension, withoutMagic } from './magic.js';

test('the magic that a cell begins with is found below blank lines, and nowhere else', () => {
  assert.equal(cellMagic('\n\n%%time\nmodel(x)'), '%%time');
  assert.equal(cellMagic('x = 1\n%%time'), null);
  assert.equal(isOptimized('%%optimize model --goal size\nmodel(x)'), true);
  assert.equal(isOptimized('%%optimizer\nmodel(x)'), false);
});

test('the line of the magic is taken out, and no other', () => {
  assert.equal(withoutMagic('%%optimize net\nnet(x)\n%%optimize'), 'net(x)\n%%optimize');
  assert.equal(withoutMagic('\n%%optimize\nnet(x)'), '\nnet(x)');
  assert.equal(withoutMagic('%%optimize'), '');
  assert.equal(withoutMagic('net(x)'), 'net(x)');
});

test('a cell that loads the extension is known, with other lines around', () => {
  assert.ok(loadsExtension('import torch\n%load_ext jupyter_optim\nx = 1'));
  assert.ok(loadsExtension('%reload_ext jupyter_optim  # again'));
  assert.ok(!loadsExtension('# %load_ext jupyter_optim'));
  assert.ok(!loadsExtension('%load_ext jupyter_optimizer'));
});
