"""Cancel in the middle of what asks nobody whether to go on: a conversion, a compilation."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.progress import Progress
from jupyter_optim.techniques import interruptible as room
from jupyter_optim.techniques import openvino
from jupyter_optim.techniques.engines import onnx_engine
from jupyter_optim.techniques.interruptible import interruptible
from tests.zoo import check_same, fingerprint, outputs_equal, peek
from tests.zoo.timings import short_timings

needs_engines = pytest.mark.skipif(
    find_spec("openvino") is None, reason="the extra `engines` is not installed"
)
WITHIN_S = 3.0
"""A second is promised; a busy machine gets more."""


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()


X = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    with short_timings():
        yield


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    for thread in room._left.threads:
        thread.join()
    room._left.threads.clear()


def cancelled_soon(progress: Progress, seconds: float = 0.2) -> None:
    threading.Timer(seconds, progress.cancel).start()


def endless(swallow: type[BaseException] | None, told: list[str]) -> Callable[[], None]:
    """Lines of Python without end, which swallow errors as libraries do."""

    def work() -> None:
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            try:
                time.sleep(0.001)
            except Exception:  # noqa: BLE001 (as it is done)
                pass
            except BaseException as error:
                told.append(type(error).__name__)
                if swallow is None or len(told) > 1:
                    raise

    return work


@pytest.mark.parametrize("swallow", [None, BaseException])
def test_python_is_stopped_where_it_is(swallow: Any) -> None:
    progress, told = Progress(), list[str]()
    cancelled_soon(progress)
    began = time.monotonic()
    with pytest.raises(jo.Cancelled):
        interruptible(endless(swallow, told), progress)
    assert time.monotonic() - began < WITHIN_S
    # it has ended, and so have its `with` blocks
    assert told == ["_Stopped"] * (1 if swallow is None else 2)
    assert room._left.threads == []


def test_a_call_of_a_library_is_left_behind_and_the_next_work_waits_for_its_end() -> None:
    progress, ended = Progress(), list[float]()

    def work() -> None:
        try:
            time.sleep(2.5)  # one call, which no Python exception interrupts
        finally:
            ended.append(time.monotonic())

    cancelled_soon(progress)
    began = time.monotonic()
    with pytest.raises(jo.Cancelled):
        interruptible(work, progress)
    assert time.monotonic() - began < 2.4
    assert ended == []
    texts: list[str] = []
    assert interruptible(time.monotonic, Progress(lambda text, _: texts.append(text))) >= ended[0]
    assert "cancelled" in texts[0]


def test_what_it_returns_and_raises_comes_through() -> None:
    assert interruptible(lambda: 7, Progress()) == 7
    # also from work within such work
    assert interruptible(lambda: interruptible(threading.get_ident, Progress()), Progress()) != 0
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0, Progress())


def test_ctrl_c_stops_it_too() -> None:
    told: list[str] = []
    stop = threading.Timer(0.2, lambda: room._raise_in(threading.main_thread(), KeyboardInterrupt))
    stop.start()
    with pytest.raises(KeyboardInterrupt):
        interruptible(endless(None, told), Progress())
    assert told == ["_Stopped"]


def test_it_runs_in_the_circumstances_of_the_caller() -> None:
    name = contextvars.ContextVar("name", default="")
    name.set("mine")

    def circumstances() -> tuple[Any, ...]:
        return (
            name.get(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads(),
            torch.ones(1).device.type,
        )  # fmt: skip

    for mode in (torch.no_grad(), torch.enable_grad(), torch.inference_mode()):
        with mode, torch.device("meta"):
            assert interruptible(circumstances, Progress()) == circumstances()
    assert interruptible(circumstances, Progress()) == circumstances()


def cancel_at(session: jo.Session, text: str, after_s: float) -> list[float]:
    """Cancel that long after the news began with `text`; returns a list that gets the time of that."""
    times: list[float] = []

    def cancel() -> None:
        times.append(time.monotonic())
        session.cancel()

    def listener(news: str, _: float | None) -> None:
        if news.startswith(text) and not times:
            threading.Timer(after_s, cancel).start()

    session.listen(listener)
    return times


SLOW: list[tuple[str, Any, str, str]] = [
    ("openvino", openvino, "converted", "Converting"),
    ("openvino", openvino, "OpenVinoEngine", "Converting"),
    ("openvino-int8", openvino, "quantized", "Converting"),
    ("onnxruntime", onnx_engine.torch.export, "export", "Exporting"),
]


@needs_engines
@pytest.mark.parametrize(("name", "where", "function", "text"), SLOW)
def test_cancel_within_a_conversion_leaves_the_model_as_it_was(
    name: str, where: Any, function: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN an engine one part of whose conversion takes a long time
    model = mlp()
    session = jo.optimize(model, X)
    before, expected = fingerprint(model), peek(model, X)
    ended: list[float] = []

    def slow(*_: Any, **__: Any) -> Any:
        try:
            ends = time.monotonic() + 20
            while time.monotonic() < ends:
                time.sleep(0.01)
        finally:
            ended.append(time.monotonic())

    with monkeypatch.context() as patch:
        patch.setattr(where, function, slow)
        # WHEN it is cancelled in the middle
        pressed = cancel_at(session, text, 1.0)
        with pytest.raises(jo.Cancelled):
            session.apply(name, keep="always")
    # THEN it ends at once, and nothing was changed
    assert time.monotonic() - pressed[0] < WITHIN_S
    assert ended
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, X), expected)
    assert session.history == ()
    # AND the next click works
    assert session.apply(name, keep="always").accepted
    session.undo()
    check_same(before, fingerprint(model))


class Wide(nn.Module):
    """Takes a while to compile."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(40))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, layer in enumerate(self.layers):
            x = torch.tanh(layer(x)).roll(number, -1) + x.softmax(-1).cumsum(-1)
        return x


def test_cancel_while_it_compiles_leaves_the_model_as_it_was_and_the_compiler_sound() -> None:
    torch.manual_seed(0)
    model = Wide().eval()
    session = jo.optimize(model, X)
    before, expected = fingerprint(model), peek(model, X)
    pressed = cancel_at(session, "Compile (torch.compile): comparing", 1.0)
    with pytest.raises(jo.Cancelled):
        session.apply("compile", keep="always")
    assert time.monotonic() - pressed[0] < WITHIN_S
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, X), expected)
    # a small model is compiled, and right, afterwards
    other = mlp()
    answers = peek(other, X)
    again = jo.optimize(other, X)
    step = again.apply("compile", keep="always")
    assert step.accepted, step.reason
    assert torch.allclose(peek(other, X), answers, atol=1e-5)
    again.undo()
    assert outputs_equal(peek(other, X), answers)


@needs_engines
@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("name", ["openvino-int8", "onnxruntime"])
def test_cancel_at_any_time_of_a_real_conversion(name: str, seconds: float) -> None:
    torch.manual_seed(0)
    model = Wide().eval()
    session = jo.optimize(model, X)
    before = fingerprint(model)
    pressed = cancel_at(session, "Converting" if name == "openvino-int8" else "Exporting", seconds)
    try:
        session.apply(name, keep="always")
    except jo.Cancelled:
        assert time.monotonic() - pressed[0] < WITHIN_S
    else:
        session.undo()  # it was done before
    check_same(before, fingerprint(model))
    step = session.apply("bf16", keep="always")
    assert step.accepted, step.reason
