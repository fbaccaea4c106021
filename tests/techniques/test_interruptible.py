"""Cancel in the middle of what asks nobody whether to go on: a conversion, a compilation."""

from __future__ import annotations

import _thread
import contextvars
import importlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.progress import Progress
from jupyter_optim.techniques import interruptible as room
from jupyter_optim.techniques import openvino
from jupyter_optim.techniques.engines import nncf_quantizer, onnx_engine
from jupyter_optim.techniques.interruptible import interruptible, wait_for_cancelled
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
    for thread in room._left:
        thread.join()
    room._left.clear()


def cancelled_soon(progress: Progress, seconds: float = 0.2) -> None:
    threading.Timer(seconds, progress.cancel).start()


def looking(progress: Progress, ended: threading.Event) -> None:
    """Work without end that looks whether to go on."""
    try:
        while True:
            time.sleep(0.001)
            progress.check()
    finally:
        ended.set()


def test_work_that_looks_whether_to_go_on_ends_there() -> None:
    progress, ended = Progress(), threading.Event()
    cancelled_soon(progress)
    with pytest.raises(jo.Cancelled):
        interruptible(lambda: looking(progress, ended), progress)
    assert ended.is_set()
    assert room._left == []


def test_a_call_of_a_library_is_left_behind_and_can_be_waited_for() -> None:
    # GIVEN one call that nothing interrupts
    progress, goes_on, done = Progress(), threading.Event(), list[str]()

    def work() -> None:
        goes_on.wait()
        done.append("first")

    # WHEN it is cancelled THEN it is not waited for
    cancelled_soon(progress)
    with pytest.raises(jo.Cancelled):
        interruptible(work, progress)
    assert done == []

    # AND the next work can wait for its end, and says so
    def listener(text: str, _: float | None) -> None:
        assert "cancelled" in text
        done.append("told")
        goes_on.set()

    wait_for_cancelled(Progress(listener))
    assert set(done[:-1]) == {"told"}
    assert done[-1] == "first"


def test_who_waits_for_cancelled_work_can_cancel_that_too() -> None:
    progress, other, goes_on = Progress(), Progress(), threading.Event()
    cancelled_soon(progress)
    with pytest.raises(jo.Cancelled):
        interruptible(goes_on.wait, progress)
    cancelled_soon(other)
    with pytest.raises(jo.Cancelled):
        wait_for_cancelled(other)
    goes_on.set()


def test_what_it_returns_and_raises_comes_through() -> None:
    assert interruptible(lambda: 7, Progress()) == 7
    # also from work within such work
    assert interruptible(lambda: interruptible(threading.get_ident, Progress()), Progress()) != 0
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0, Progress())


def test_ctrl_c_stops_it_too() -> None:
    progress, ended = Progress(), threading.Event()
    threading.Timer(0.2, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        interruptible(lambda: looking(progress, ended), progress)
    assert ended.is_set()


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


@contextmanager
def cancel_at(session: jo.Session, text: str, after_s: float) -> Iterator[list[float]]:
    """Cancel that long after the news began with `text`, if that is still within; gives a list that gets the time of it."""
    times: list[float] = []
    timers: list[threading.Timer] = []

    def cancel() -> None:
        times.append(time.monotonic())
        session.cancel()

    def listener(news: str, _: float | None) -> None:
        if news.startswith(text) and not timers:
            timers.append(threading.Timer(after_s, cancel))
            timers[0].start()

    session.listen(listener)
    try:
        yield times
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()


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
    goes_on = threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        goes_on.wait()

    with monkeypatch.context() as patch:
        patch.setattr(where, function, slow)
        # WHEN it is cancelled in the middle
        with cancel_at(session, text, 1.0) as pressed, pytest.raises(jo.Cancelled):
            session.apply(name, keep="always")
    # THEN it ends at once, and nothing was changed
    assert time.monotonic() - pressed[0] < WITHIN_S
    goes_on.set()
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
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, layer in enumerate(self.layers):
            x = torch.tanh(layer(x)).roll(number, -1) + x.softmax(-1).cumsum(-1)
        return x


def test_cancel_while_it_compiles_leaves_the_model_as_it_was_and_the_compiler_sound() -> None:
    torch.manual_seed(0)
    model = Wide().eval()
    session = jo.optimize(model, X)
    before, expected = fingerprint(model), peek(model, X)
    with (
        cancel_at(session, "Compile (torch.compile): comparing", 1.0) as pressed,
        pytest.raises(jo.Cancelled),
    ):
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
def test_cancel_ends_nncfs_work_and_not_the_threads_of_its_bars() -> None:
    # GIVEN a bar of NNCF's, which a thread of its own moves, too
    progress, raised = Progress(), []

    def move() -> None:
        try:
            bar.update(task, completed=1)
        except jo.Cancelled as error:
            raised.append(error)

    with nncf_quantizer._reporting(progress):
        bar = importlib.import_module("nncf.common.logging.track_progress").Progress()
        task = bar.add_task("Collecting", total=3)
        # WHEN the work is cancelled
        progress.cancel()
        mover = threading.Thread(target=move)
        mover.start()
        mover.join()
        # THEN it is the work that ends, by its next step
        assert raised == []
        with pytest.raises(jo.Cancelled):
            bar.advance(task)


@needs_engines
@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("name", ["openvino-int8", "onnxruntime"])
def test_cancel_at_any_time_of_a_real_conversion(name: str, seconds: float) -> None:
    torch.manual_seed(0)
    model = Wide().eval()
    session = jo.optimize(model, X)
    before = fingerprint(model)
    text = "Converting" if name == "openvino-int8" else "Exporting"
    with cancel_at(session, text, seconds) as pressed:
        try:
            session.apply(name, keep="always")
        except jo.Cancelled:
            assert time.monotonic() - pressed[0] < WITHIN_S
    session.undo()  # if it was done before
    check_same(before, fingerprint(model))
    step = session.apply("bf16", keep="always")
    assert step.accepted, step.reason
