"""Lines of the user's within modules of libraries: traced where there are any, and else nothing is traced at all."""

from __future__ import annotations

import functools
import inspect
import linecache
import threading
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

import jupyter_optim as jo
from jupyter_optim.profiling.lines.library_modules import LibraryModules
from jupyter_optim.profiling.lines.monitoring import available
from jupyter_optim.profiling.lines.ranges import LineRanges
from jupyter_optim.profiling.lines.user_code import UserCode
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from tests.zoo.timings import short_timings


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    with short_timings(), torch.no_grad():
        yield


@pytest.fixture(
    params=[False, True] if available() else [False], ids=lambda it: "monitoring" if it else "settrace"
)
def lines(request: pytest.FixtureRequest) -> LineRanges:
    """Told in each of the ways that this Python has."""
    return LineRanges(UserCode(), monitoring=request.param)


def softened(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


def doubled(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output + output


class Scaled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 3


class Own:
    def act(self, x: torch.Tensor) -> torch.Tensor:
        return x.tanh()


def line_of(function: Callable[..., Any]) -> int:
    """The number of a function's last line."""
    lines, first = inspect.getsourcelines(function)
    return first + len(lines) - 1


def told(lines: LineRanges, function: Callable[..., Any]) -> bool:
    return (__file__, line_of(function)) in lines.lines


def here() -> None:
    pass


def encoder(activation: Any) -> nn.Module:
    return nn.TransformerEncoderLayer(16, 2, 32, activation=activation, batch_first=True).train()


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU())
    model[1].register_forward_hook(doubled)
    return model


PLAIN = {
    "layers": lambda: nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 4)),
    "transformer": lambda: encoder("gelu"),
    "recurrent": lambda: nn.LSTM(16, 16),
}
OWN = {
    "a class within": lambda: nn.Sequential(nn.Linear(16, 16), nn.Sequential(Scaled())),
    "a function it was given": lambda: encoder(softened),
    "a partial": lambda: encoder(functools.partial(softened)),
    "a method": lambda: encoder(Own().act),
    "a hook": hooked,
}


@pytest.mark.parametrize("name", PLAIN)
def test_modules_of_libraries_alone_hold_no_code_of_the_users(name: str) -> None:
    assert LibraryModules(UserCode()).holds_none(PLAIN[name]())


@pytest.mark.parametrize("name", OWN)
def test_code_of_the_users_is_found(name: str) -> None:
    assert not LibraryModules(UserCode()).holds_none(OWN[name]())


@pytest.mark.parametrize(
    ("model", "function"),
    [(OWN["a class within"], Scaled.forward), (OWN["a function it was given"], softened), (hooked, doubled)],
    ids=["class", "function", "hook"],
)
def test_its_lines_have_times(model: Callable[[], nn.Module], function: Callable[..., Any]) -> None:
    report = jo.optimize(model(), torch.randn(4, 8, 16)).report
    assert line_of(function) in {line.lineno for line in report.lines}


def test_nothing_is_traced_within_a_library(lines: LineRanges) -> None:
    # GIVEN a layer of PyTorch that runs a line of ours, and is taken for one that does not
    def look(x: torch.Tensor) -> torch.Tensor:
        return x

    layer, ranges = nn.Linear(4, 4), ModuleRanges()
    layer.forward = look  # type: ignore[method-assign]
    ranges.tell(lines)
    lines._libraries.holds_none = lambda _: True  # type: ignore[method-assign]
    # WHEN it is called
    with ranges, lines:
        layer(torch.ones(1, 4))
        here()
    # THEN that line was not traced, and the tracing went on behind it
    assert not told(lines, look)
    assert told(lines, here)


def test_other_threads_that_call_the_model_are_not_traced(lines: LineRanges) -> None:
    # GIVEN a library's model that this thread is inside of, with its lines traced outside of it
    model, ranges = nn.Sequential(nn.Linear(4, 4)), ModuleRanges()
    ranges.tell(lines)

    def call() -> None:
        model(torch.ones(1, 4))
        here()

    with ranges, lines:
        lines.within = model
        # WHEN another thread calls it, from its beginning to its end
        other = threading.Thread(target=call)
        other.start()
        other.join()
    # THEN that one is left alone
    assert not told(lines, here)


class Fussy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] != 4:
            raise ValueError("four columns, please")
        return x.tanh()


def test_a_module_of_the_users_that_raises_does_not_end_the_tracing(lines: LineRanges) -> None:
    ranges = ModuleRanges()
    ranges.tell(lines)
    model = nn.Sequential(Fussy())
    with ranges, lines:
        with pytest.raises(ValueError, match="four columns"):
            model(torch.ones(1, 5))
        here()
        model(torch.ones(1, 4))
    assert told(lines, here)
    assert told(lines, Fussy.forward)


def test_pytorchs_own_code_around_a_forward_is_not_traced() -> None:
    # GIVEN modules of ours, one within the other
    ranges, lines = ModuleRanges(), LineRanges(UserCode(), monitoring=False)
    ranges.tell(lines)
    model = Twice(Scaled())
    # WHEN they are called from a line of ours
    with ranges, lines:
        model(torch.ones(1, 4))
    # THEN each of their lines was traced, and of PyTorch's code only what begins a call
    assert {line for line in lines.lines if line[0] == __file__} >= {
        (__file__, line_of(Twice.forward)), (__file__, line_of(Scaled.forward)),
    }  # fmt: skip
    around = {each for each in nn.Module._call_impl.__code__.co_consts if isinstance(each, CodeType)}
    assert around
    assert not around & set(lines._told._codes)


class Twice(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.inner(x))


def test_hooks_of_the_users_around_every_module_are_traced_where_they_come_first(lines: LineRanges) -> None:
    # GIVEN hooks of the user's that were there before ours
    before = register_module_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1,))
    ranges = ModuleRanges()
    ranges.tell(lines)
    after = register_module_forward_hook(doubled)
    model = Twice(Scaled())
    # WHEN a model is called
    try:
        with ranges, lines:
            model(torch.ones(1, 4))
    finally:
        before.remove()
        after.remove()
    # THEN their lines are among those that are measured
    assert told(lines, doubled)
    texts = {linecache.getline(*line).strip() for line in lines.lines if line[0] == __file__}
    assert any(text.startswith("before = register_module_forward_pre_hook(") for text in texts)


def plus_one(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (inputs[0] + 1,)


def test_behind_a_hook_of_the_users_the_tracing_goes_on_and_no_line_stays_open(lines: LineRanges) -> None:
    # GIVEN hooks of the user's on a model and on the part of it that comes last
    model, ranges = Twice(Scaled()), ModuleRanges()
    ranges.tell(lines)
    model.register_forward_pre_hook(plus_one)
    model.inner.register_forward_hook(doubled)
    x = torch.ones(1, 4)
    # WHEN it is called, and nothing is told behind it
    with ranges, lines:
        lines.rest(model)
        model(x)
        open_now = [name for _, name, _ in lines._open.stack]
    # THEN the hooks and what came after each of them were traced, and no line goes on into what comes after the call
    assert told(lines, plus_one)
    assert told(lines, doubled)
    assert told(lines, Twice.forward)
    assert open_now == []


def test_a_layer_that_raises_does_not_end_the_tracing(lines: LineRanges) -> None:
    ranges = ModuleRanges()
    ranges.tell(lines)
    model = nn.Sequential(nn.Linear(4, 4))
    with ranges, lines:
        with pytest.raises(RuntimeError):
            model(torch.ones(1, 5))
        here()
    assert told(lines, here)
