"""What version control sees of a cell that was run again: other figures, and nothing else."""

from __future__ import annotations

import base64
import json
import re

import pytest
import torch
from torch import nn

from jupyter_optim.render import to_bundle
from jupyter_optim.report import MIME_TYPE
from jupyter_optim.session.start import open_session
from jupyter_optim.workload import Workload

LARGEST_RUN, LARGEST_FIGURE = 300_000, 120_000
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}|\b[0-9a-f]{8}-[0-9a-f]{4}|\b[0-9a-f]{32}\b")


def _report_output(outputs):
    (found,) = (output for output in outputs if MIME_TYPE in output.get("data", {}))
    return found


def _keys(value, at="report"):
    """Each place of the data, in order, with the keys that it has."""
    if isinstance(value, dict):
        yield at, tuple(value)
        for key, item in value.items():
            yield from _keys(item, f"{at}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item, f"{at}[]")


def _numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value


def test_an_unchanged_cell_run_again_changes_only_what_was_measured(saved):
    first, again = (_report_output(outputs) for outputs in saved.runs)
    # the output itself: the same forms in the same order, and no id of a display
    assert list(first.data) == list(again.data)
    assert first.metadata == again.metadata == {}
    assert "transient" not in first
    before, after = first.data[MIME_TYPE], again.data[MIME_TYPE]
    assert list(before) == list(after)
    # its parts that are not measured are the same
    assert before["environment"] == after["environment"]
    assert before["cell"] == after["cell"]
    for part, figures in (
        ("workload", ("cell_ms", "model_ms", "signatures")),
        ("memory", ("peak_bytes", "timeline")),
    ):
        kept = [{k: v for k, v in data[part].items() if k not in figures} for data in (before, after)]
        if part == "workload":
            assert kept[0] == kept[1]
        assert list(before[part]) == list(after[part])
    # its rows are of the same ops, modules and lines, dearest first
    for rows, names in (
        ("ops", ("name", "module", "calls", "line", "flops", "bytes", "dtype")),
        ("modules", ("path", "class_name", "calls", "params", "flops", "bytes")),
        ("lines", ("source", "lineno", "text")),
    ):
        same = [
            sorted(json.dumps([row[name] for name in names]) for row in data[rows])
            for data in (before, after)
        ]
        assert same[0] == same[1], rows
    # and keys stand in one order, wherever there is one
    orders: dict[str, set] = {}
    for data in (before, after):
        for at, keys in _keys(data):
            orders.setdefault(at, set()).add(keys)
    by_name = {
        at for at in orders if at.endswith(("throttle", "libraries", "flops_per_s", "options", "details"))
    }
    assert not {at: found for at, found in orders.items() if len(found) > 1 and at not in by_name}


def test_a_second_run_of_the_magic_has_the_same_number_of_outputs(saved):
    kinds = [[sorted(output.get("data", {})) for output in outputs] for outputs in saved.runs]
    assert kinds[0] == kinds[1]


def test_figures_are_rounded_and_nothing_is_named_by_chance(saved):
    for number in _numbers(saved.bundle[MIME_TYPE]):
        assert float(f"{number:.6g}") == number
    for kind, data in saved.bundle.items():
        text = data if isinstance(data, str) else json.dumps(data)
        if kind != "image/png":
            assert not _ADDRESS.findall(re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)), kind


def test_a_run_is_small(saved):
    _check_size(saved.bundle)


@pytest.mark.timeout(300)
def test_a_run_of_a_large_model_is_small_too():
    # GIVEN a model of more than a thousand modules with long names
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.normalization_before_projection = nn.LayerNorm(16)
            self.projection_into_the_same_space = nn.Linear(16, 16)
            self.activation_after_projection = nn.GELU()

        def forward(self, x):
            x = self.projection_into_the_same_space(self.normalization_before_projection(x))
            return self.activation_after_projection(x)

    model = nn.Sequential(*(Block() for _ in range(300))).eval()
    # WHEN it is measured, THEN what the notebook keeps of it stays small, and says what was left out
    session = open_session(Workload.of_call(model, torch.randn(2, 16)), predict=False)
    bundle = to_bundle(session.report)
    assert len(session.report.modules) > 1000
    _check_size(bundle)
    assert "are left out here" in bundle[MIME_TYPE]["trace"]["reason"]


def _check_size(bundle):
    sizes = {kind: len(data if isinstance(data, str) else json.dumps(data)) for kind, data in bundle.items()}
    assert sum(sizes.values()) <= LARGEST_RUN, sizes
    assert len(base64.b64decode(bundle["image/png"])) <= LARGEST_FIGURE
