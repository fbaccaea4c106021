"""CONTRIBUTING.md's first technique works as it stands there."""

import copy
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

TEXT = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## A first technique in fifteen minutes")[2]
TECHNIQUE, TRIAL = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
(ENTRY_POINT,) = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)


@pytest.fixture
def technique():
    module = types.ModuleType("my_techniques")
    exec(TECHNIQUE, module.__dict__)
    return module.FoldBatchNorm()


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Sequential(nn.Conv2d(8, 4, 1)))
    made.train()(torch.randn(16, 3, 8, 8))
    return made.eval()


def test_it_is_a_technique_that_does_what_its_source_says(technique, model):
    from jupyter_optim.techniques.technique import Technique

    assert isinstance(technique, Technique)
    images = torch.randn(2, 3, 8, 8)
    before = model(images)

    change = technique.transform(copy.deepcopy(model), None, {}, _never_cancelled())
    by_source = copy.deepcopy(model)
    exec(technique.source({}, change.facts), {"model": by_source})

    for changed in (change.model, by_source):
        assert not any(isinstance(module, nn.BatchNorm2d) for module in changed.modules())
        torch.testing.assert_close(changed(images), before, rtol=1e-4, atol=1e-5)


def test_once_registered_it_is_applied_by_name(tmp_path):
    # what installing a package leaves behind, as far as entry points look
    info = tmp_path / "my_techniques-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-techniques\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", ENTRY_POINT).replace('"', "")
    )
    (tmp_path / "my_techniques.py").write_text(TECHNIQUE)
    check = "\nassert step.verdict != 'failed', step.reason\nassert 'fold-batchnorm' in {each.name for each in jo.techniques()}"

    done = subprocess.run(
        [sys.executable, "-c", TRIAL + check],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def _never_cancelled():
    from jupyter_optim.progress import Progress

    return Progress()
