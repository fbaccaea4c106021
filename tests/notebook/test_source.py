"""The code of a cell's changes, as the front end asks for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.errors import OptimError
from jupyter_optim.notebook.source import source_of


@pytest.fixture(scope="module")
def sessions():
    """Two measured models; the second is the newest."""
    first = nn.Sequential(nn.Linear(8, 8)).eval()
    second = nn.Linear(8, 4).eval()
    x = torch.randn(2, 8)
    with torch.no_grad():
        return jo.optimize(first, x), jo.optimize(second, x)


def test_says_so_where_no_change_stands(sessions):
    with pytest.raises(OptimError, match="No change is in place in Linear: press a button"):
        source_of("", "Linear")


def test_shows_the_code_as_it_is_not_as_a_string(sessions):
    _, newest = sessions
    newest.apply("bf16", keep="always")
    assert repr(source_of("", "Linear")) == newest.code()
    newest.undo()
    with pytest.raises(OptimError, match="No change is in place"):
        source_of("", "Linear")


def test_finds_the_model_of_the_report_and_not_just_the_newest(sessions, monkeypatch):
    older, _ = sessions
    with pytest.raises(OptimError, match="This kernel has no measured Sequential: run the cell again"):
        source_of("", "Sequential")
    monkeypatch.setattr("__main__.net", older.model, raising=False)
    older.apply("bf16", keep="always")
    assert repr(source_of("", "Sequential")) == older.code()
