"""What all tests need."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # several of them share the cores, and threads that wait for each other would hold those up
    os.environ.setdefault("OMP_NUM_THREADS", "1")

PART = 16
"""Of the pairs of a model and a technique, one in so many is tried where not all of them are asked for."""

STEP = 7
"""From a model to the next, the techniques that are tried move on by so many; it shares no factor with `PART`, so that
each has its turn."""


INSTEAD = {"minilm-fp16": "minilm-bf16"}
"""Pairs that take a minute, for a CPU has no arithmetic in float16, and those that are tried in their place."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="every technique on every model, not a part of the pairs"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out pairs of a model and a technique, so that each model and each technique keeps its share."""
    if config.getoption("--full"):
        return
    left_out = [item for item in items if _is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_left_out(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    if call is None or not {"box", "technique"} <= call.params.keys():
        return False
    if call.id in INSTEAD:
        return True
    if call.id in INSTEAD.values():
        return False
    return (STEP * _place(item, call, "box") + _place(item, call, "technique")) % PART != 0


def _place(item: pytest.Item, call: Any, name: str) -> int:
    """Which of a parameter's values this is; where several are parametrized, pytest's own index counts their product."""
    for mark in item.iter_markers("parametrize"):
        if mark.args[0] == name:
            return list(mark.args[1]).index(call.params[name])
    found: int = call.indices[name]
    return found


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> None:
    """Ctrl-C is heard, also where a job in the background was started with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The machine's peaks are measured once for all tests, and the user's own cache is left alone."""
    before = os.environ.get("JUPYTER_OPTIM_CACHE")
    os.environ.setdefault("JUPYTER_OPTIM_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    if before is None:
        del os.environ["JUPYTER_OPTIM_CACHE"]
