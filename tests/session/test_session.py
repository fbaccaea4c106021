"""A session's life: apply, verdict, undo, redo, reset, bad input."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.profiling.paired import PairedTiming
from jupyter_optim.progress import Progress
from jupyter_optim.quality import MaxDrop
from jupyter_optim.report import Interval, Quality
from jupyter_optim.session import attempt
from jupyter_optim.session.attempt import verdict_of
from tests.zoo.timings import short_timings


@pytest.fixture(autouse=True)
def _short() -> Any:
    with short_timings():
        yield


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).eval()


X = torch.randn(8, 64)


def test_the_report_says_what_was_measured() -> None:
    live = model()
    session = jo.optimize(live, X)
    report = session.report
    assert session.model is live
    assert jo.current() is session
    assert report.workload.model == "Sequential"
    assert report.workload.inputs[0].shape == (8, 64)
    assert 0 < report.latency.low_ms <= report.latency.median_ms <= report.latency.high_ms
    assert report.memory.parameters == 64 * 128 + 128 + 128 * 10 + 10
    assert report.memory.weights_bytes == 4 * report.memory.parameters
    assert report.memory.peak_bytes > report.memory.weights_bytes
    # a multiply-add is two; one for each element of the ReLU
    assert report.flops.total == 2 * 8 * 64 * 128 + 8 * 128 + 2 * 8 * 128 * 10
    assert report.flops.status == "measured"
    assert report.energy.energy_j is None
    assert report.energy.reason
    assert any("Linear" in f.title for f in report.findings)
    assert jo.Report.from_json(report.to_json()).to_json() == report.to_json()


def test_apply_undo_redo_and_reset() -> None:
    live = model()
    answers = live(X)
    session = jo.optimize(live, X)

    first = session.apply("bf16", keep="always")
    second = session.apply("prune-magnitude", keep="always", amount=0.5)

    assert [s.technique for s in session.history] == ["bf16", "prune-magnitude"]
    assert first.accepted
    assert second.accepted
    assert not torch.equal(live(X), answers)
    assert session.undo() is second
    assert second.undone
    assert not first.undone
    assert session.redo() is second
    assert not second.undone
    assert session.reset() is first
    assert torch.equal(live(X), answers)
    assert session.undo() is None
    assert session.redo() is first
    assert session.redo() is second
    assert session.redo() is None
    session.undo()
    session.apply("prune-magnitude", keep="always", amount=0.1)
    assert session.redo() is None
    assert len(session.history) == 3
    assert session.report.history[1].undone
    assert len(session.baseline.history) == 0


def test_a_step_that_loses_quality_is_left_out_and_can_be_forced() -> None:
    live = model()
    answers = live(X)
    session = jo.optimize(live, X, max_drop=1e-6)
    left = session.apply("prune-magnitude", amount=0.9)
    assert left.verdict == "quality lost"
    assert not left.accepted
    assert torch.equal(live(X), answers)
    assert session.undo() is None
    assert "left out" in left.reason
    forced = session.apply("prune-magnitude", keep="always", amount=0.9)
    assert forced.accepted
    assert forced.verdict == "quality lost"
    assert not torch.equal(live(X), answers)


def test_the_users_evaluate_is_the_judge() -> None:
    scores = {0: 0.9, 1: 0.85}
    seen: list[nn.Module] = []

    def evaluate(candidate: nn.Module) -> float:
        candidate(X)
        seen.append(candidate)
        return scores[int((candidate[0].weight == 0).any())]

    live = model()
    session = jo.optimize(live, X, evaluate=evaluate, max_drop=0.01)
    step = session.apply("prune-magnitude")
    assert (step.quality.metric, step.quality.before, step.quality.after) == ("evaluate", 0.9, 0.85)
    assert step.verdict == "quality lost"
    assert seen[0] is live
    assert seen[1] is not live
    session.apply("prune-magnitude")
    assert seen.count(live) == 1, "the live model is asked again only once its weights have changed"
    with torch.no_grad():
        live[0].bias.add_(1)
    session.apply("prune-magnitude")
    assert seen.count(live) == 2


@pytest.mark.parametrize(
    ("evaluate", "why"),
    [
        (lambda m: 1 / 0, "evaluate raised ZeroDivisionError"),
        (lambda m: float("nan"), "not a finite number"),
        (lambda m: "good", "returned str"),
        (lambda m: None, "returned NoneType"),
        (lambda m: 0.5, "never called the model"),
    ],
)
def test_an_evaluate_that_gives_no_score_is_named_and_nothing_is_applied(evaluate: Any, why: str) -> None:
    live = model()
    answers = live(X)
    step = jo.optimize(live, X, evaluate=evaluate).apply("bf16", keep="always")
    assert step.verdict == "failed"
    assert why in step.reason
    assert torch.equal(live(X), answers)


def test_bad_arguments_are_refused_with_the_valid_ones() -> None:
    session = jo.optimize(model(), X)
    with pytest.raises(jo.UnknownTechnique, match="There are: int8-dynamic"):
        session.apply("int8-dynamc")
    with pytest.raises(jo.InvalidOption, match=r"no option .amuont.\. It has: amount"):
        session.apply("prune-magnitude", amuont=0.5)
    with pytest.raises(jo.InvalidOption, match="if-better"):
        session.apply("bf16", keep="no")  # type: ignore[arg-type]
    with pytest.raises(jo.InvalidOption, match="goal"):
        jo.optimize(model(), X, goal="speed")  # type: ignore[arg-type]
    for bad in ("x%", -1, float("nan"), "one"):
        with pytest.raises(jo.InvalidOption, match="max_drop"):
            jo.optimize(model(), X, max_drop=bad)
    with pytest.raises(jo.InvalidOption, match="evaluate"):
        jo.optimize(model(), X, evaluate=3)  # type: ignore[arg-type]
    with pytest.raises(jo.InvalidInputs, match="mat1 and mat2"):
        jo.optimize(model(), torch.ones(1, 3))
    assert session.history == ()


def test_a_technique_whose_source_raises_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyter_optim.techniques.precision import Bf16

    def source(*_: Any) -> str:
        raise KeyError("layers")

    monkeypatch.setattr(Bf16, "source", source)
    live = model()
    answers, modules = live(X), list(live.modules())
    session = jo.optimize(live, X)
    step = session.apply("bf16", keep="always")
    assert (step.verdict, step.accepted) == ("failed", False)
    assert "KeyError" in step.reason
    assert session.history == (step,)
    assert session.undo() is None
    assert torch.equal(live(X), answers)
    assert all(a is b for a, b in zip(live.modules(), modules, strict=True))


def test_a_second_piece_of_work_is_told_that_the_first_is_under_way() -> None:
    session = jo.optimize(model(), X)
    entered, leave = threading.Event(), threading.Event()
    session.swap_on(lambda swap: (entered.set(), leave.wait(10), swap())[0])
    worker = threading.Thread(target=lambda: session.apply("prune-magnitude", keep="always"))
    worker.start()
    assert entered.wait(30)
    with pytest.raises(jo.Busy, match="busy with Zero small weights"):
        session.apply("bf16")
    assert session.busy == "Zero small weights"
    leave.set()
    worker.join()
    assert [s.technique for s in session.history] == ["prune-magnitude"]
    assert session.busy is None


def test_cancel_leaves_the_model_as_before() -> None:
    live = model()
    answers = live(X)
    session = jo.optimize(live, X)
    session.listen(lambda text, _: session.cancel() if "Timing" in text else None)
    with pytest.raises(jo.Cancelled):
        session.apply("bf16", keep="always")
    assert torch.equal(live(X), answers)
    assert session.history == ()
    assert session.busy is None


def test_the_session_goes_on_when_the_model_is_measured_again_and_ends_with_it() -> None:
    live = model()
    session = jo.optimize(live, X)
    session.apply("bf16", keep="always")
    again = jo.optimize(live, X[:4])
    assert again is session
    assert len(again.history) == 1
    assert again.report.workload.inputs[0].shape == (4, 64)

    other = jo.optimize(model(), X)
    gone = weakref.ref(live)
    del live, session, again
    gc.collect()
    assert gone() is None
    assert jo.current() is other


def test_weights_trained_after_a_change_survive_where_the_change_left_them() -> None:
    live = model()
    session = jo.optimize(live, X)
    session.apply("prune-magnitude", keep="always", amount=0.05)
    session.undo()
    with torch.no_grad():
        live[0].weight.add_(1)
    trained = live[0].weight.clone()
    session.apply("bf16", keep="always")
    session.undo()
    assert torch.equal(live[0].weight, trained)


def interval(low: float, median: float, high: float) -> Interval:
    return Interval(low=low, median=median, high=high)


def quality(drop: float) -> Quality:
    return Quality(metric="fidelity", before=1.0, after=1 - drop, drop=drop, max_drop=0.01)


@pytest.mark.parametrize(
    ("speedup", "size", "drop", "goal", "verdict"),
    [
        (interval(1.9, 2.0, 2.1), 1.0, 0.0, "latency", "faster"),
        (interval(1.9, 2.0, 2.1), 1.0, 0.02, "latency", "quality lost"),
        (interval(1.9, 2.0, 2.1), 1.0, float("nan"), "latency", "quality lost"),
        (interval(0.9, 1.1, 1.3), 1.0, 0.0, "latency", "no gain"),
        (interval(1.001, 1.01, 1.02), 1.0, 0.0, "latency", "no gain"),
        (interval(0.9, 1.0, 1.1), 0.5, 0.0, "latency", "smaller"),
        (interval(0.4, 0.5, 0.6), 0.5, 0.0, "latency", "slower"),
        (interval(0.4, 0.5, 0.6), 0.5, 0.0, "size", "smaller"),
        (interval(0.4, 0.5, 0.6), 1.0, 0.0, "size", "slower"),
    ],
)
def test_a_gain_is_one_when_the_interval_clears_1(
    speedup: Interval, size: float, drop: float, goal: Any, verdict: str
) -> None:
    assert verdict_of(speedup, size, quality(drop), goal) == verdict


@pytest.mark.parametrize(
    ("rounds", "verdict"),
    [
        ([interval(1.01, 1.16, 1.4), interval(0.97, 1.0, 1.03)], "no gain"),
        ([interval(1.01, 1.06, 1.1), interval(1.02, 1.05, 1.08)], "faster"),
        ([interval(1.5, 1.6, 1.7)], "faster"),
        ([interval(0.98, 1.05, 1.1)], "no gain"),
    ],
)
def test_a_small_gain_must_be_seen_twice(
    rounds: list[Interval], verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(rounds)
    monkeypatch.setattr(
        attempt, "time_pair", lambda *_: PairedTiming(left.pop(0), 1.0, 1.0, pairs=6, block_calls=4)
    )
    step = jo.optimize(model(), X).apply("prune-magnitude", amount=0.05)
    assert step.verdict == verdict
    assert step.speedup == rounds[-1]
    assert not left


def test_a_percentage_is_relative_and_a_number_absolute() -> None:
    assert MaxDrop.parse("1%").allowed(50.0) == pytest.approx(0.5)
    assert MaxDrop.parse(0.01).allowed(50.0) == 0.01
    assert MaxDrop.parse("0.02").allowed(50.0) == 0.02


def test_work_in_inference_mode_leaves_weights_that_can_be_trained() -> None:
    live = model()
    with torch.inference_mode():
        session = jo.optimize(live, X)
        step = session.apply("bf16", keep="always")
    assert step.accepted, step.reason
    assert not any(p.is_inference() for p in live.parameters())
    assert not session.workload.mode.grad
    live(X).sum().backward()
    assert live[0].weight.grad is not None


class Warns(nn.Module):
    """It warns once its weights are no longer float32."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.layer.weight.dtype is not torch.float32:
            warnings.warn("slow kernels for this type", stacklevel=1)
        return self.layer(x)


def test_what_a_changed_model_warns_of_stays_out_of_the_cell() -> None:
    live = Warns().eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        session = jo.optimize(live, X)
        assert session.apply("bf16", keep="always").accepted
        assert not caught
        assert warnings.filters == before
        live(X)
    assert [str(each.message) for each in caught] == ["slow kernels for this type"]


def test_cancelled_predictions_leave_those_that_were_made() -> None:
    session = jo.optimize(model(), X)
    known = list(session.assessments)
    progress = Progress(
        lambda text, _: progress.cancel() if session.assessments.keys() >= {known[1]} else None
    )
    session.predict(progress)
    assert list(session.assessments) == known[: len(session.assessments)]
    assert 2 <= len(session.assessments) < len(known)
    # what was not judged is judged when it is asked for
    assert "prune-magnitude" not in session.assessments
    assert session.apply("prune-magnitude", keep="always").accepted
    assert list(session.assessments) == known


def test_a_cancel_after_the_verdict_keeps_the_change() -> None:
    live = model()
    session = jo.optimize(live, X)
    session.listen(lambda text, _: session.cancel() if text.startswith("Predicting") else None)
    step = session.apply("bf16", keep="always")
    assert step.accepted
    assert session.history == (step,)
    assert live[0].weight.dtype is torch.bfloat16
    session.undo()
    assert live[0].weight.dtype is torch.float32
