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
    return module.MergeLinear()


@pytest.fixture
def model():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 12, bias=False), nn.Linear(12, 4))
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), body).eval()


def test_it_is_a_technique_that_does_what_its_source_says(technique, model):
    from jupyter_optim.techniques.technique import Technique

    assert isinstance(technique, Technique)
    x = torch.randn(2, 5)
    before = model(x)

    change = technique.transform(copy.deepcopy(model), None, {}, _never_cancelled())
    by_source = copy.deepcopy(model)
    exec(technique.source({}, change.facts), {"model": by_source})

    for changed in (change.model, by_source):
        assert sum(isinstance(module, nn.Linear) for module in changed.modules()) == 2
        torch.testing.assert_close(changed(x), before, rtol=1e-4, atol=1e-5)


def test_once_registered_it_is_applied_by_name(tmp_path):
    # what installing a package leaves behind, as far as entry points look
    info = tmp_path / "my_techniques-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-techniques\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", ENTRY_POINT).replace('"', "")
    )
    (tmp_path / "my_techniques.py").write_text(TECHNIQUE)
    check = "\nassert step.verdict != 'failed', step.reason\nassert 'merge-linear' in {each.name for each in jo.techniques()}"

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
