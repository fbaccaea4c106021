"""An engine that measures nothing, for what the face alone must do: states that a real model gives too rarely.

`install` puts it where the notebook's face looks for the real one.
"""

from __future__ import annotations

import sys
import time
import types
from dataclasses import dataclass, field

import msgspec
from torch import nn

from jupyter_optim import errors
from jupyter_optim import report as data
from jupyter_optim.techniques.technique import Assessment, Option


# fmt: off
def sample_report(history=(), median_ms=100.0):
    return data.Report(
        environment=data.Environment(
            cpu_model="A CPU", physical_cores=2, logical_cores=2, threads=2, interop_threads=2, isa=(),
            memory_bytes=None, gpus=(), gpu_reason="no GPU", os="Linux", python="3.11", torch="2.13", libraries={},
        ),
        workload=data.WorkloadInfo(
            model="Net", origin="cell", expression=None, device="cpu", dtype="float32", training=False, grad=False,
            autocast=None, batch_size=1, inputs=(), signatures=(), calls=1, cell_ms=120.0, model_ms=100.0,
            replayed=True, reason=None,
        ),
        latency=data.Latency(
            median_ms=median_ms, low_ms=median_ms * 0.98, high_ms=median_ms * 1.02, p95_ms=None, repeats=10,
            warmup_calls=2, throughput_per_s=10.0, samples_per_s=10.0, status="measured", method="blocks",
        ),
        memory=data.Memory(
            peak_bytes=2_000_000, weights_bytes=1_000_000, activations_bytes=None, parameters=250_000,
            status="measured", method="torch",
        ),
        flops=data.Flops(total=None, status="unavailable", method="", reason="not counted"),
        energy=data.Energy(energy_j=None, status="unavailable", method="", reason="no sensor"),
        hardware=data.Hardware(cpu_percent=None, rss_bytes=None, method="psutil"),
        trace=data.Trace(events=0, calls=1, call_ms=100.0, unattributed_ms=None, source="replay", method=""),
        ops=(), modules=(), lines=(), findings=(), recommendations=(), history=tuple(history), cell=None,
    )


# fmt: on
@dataclass
class Technique:
    name: str
    family: str
    label: str
    risk: str = "Answers may change a little."
    options: tuple = ()


TECHNIQUES = (
    Technique("int8-dynamic", "int8", "Quantize to int8"),
    Technique("bf16", "bf16", "Compute in bf16"),
    Technique(
        "prune-structured",
        "prune",
        "Prune channels",
        options=(
            Option("ratio", "share of channels", 0.5, low=0.1, high=0.9, step=0.05),
            Option("rounds", "rounds", 2, low=1, high=9),
            Option("scope", "layers", "all", choices=("all", "conv")),
            Option("recover", "recover", True),
        ),
    ),
    Technique("slow", "test", "Take long"),
    Technique("broken", "test", "Break"),
    Technique("compile", "compile", "Compile"),
)


class Step:
    def __init__(self, record, report):
        self._record, self.report = record, report

    def __getattr__(self, name):
        return getattr(self._record, name)

    def record(self):
        return self._record

    def mark(self, **changes):
        self._record = msgspec.structs.replace(self._record, **changes)


@dataclass
class Terms:
    evaluate: object = None
    max_drop: object = None
    goal: str = "latency"
    train: object = None
    calibration: object = None
    with_paths: bool = False


@dataclass(eq=False)
class Session:
    model: object
    goal: str = "latency"
    max_drop: object = None
    evaluate: object = None
    train: object = None
    calibration: object = None
    with_paths: bool = False
    baseline: data.Report = field(default_factory=sample_report)
    reported: list | None = None
    latest: data.Report | None = None
    steps: list = field(default_factory=list)
    undone: list = field(default_factory=list)
    listeners: list = field(default_factory=list)
    busy: str | None = None
    cancelled: bool = False
    swapped: object = staticmethod(lambda: None)

    @property
    def history(self):
        return tuple(self.steps)

    @property
    def report(self):
        records = [step.record() for step in self.steps]
        if records != self.reported:
            kept = sum(1 for step in self.steps if step.accepted and not step.undone)
            self.reported, self.latest = records, sample_report(records, 100.0 / 4**kept)
        return self.latest

    @property
    def recommendations(self):
        return tuple(
            data.Recommendation(
                technique=name,
                label=name,
                family="",
                predicted_speedup=gain,
                covers_share=0.83,
                predicted_size_ratio=0.38,
                reason="36 Linear layers are compute-bound.",
                risk="",
                method="",
            )
            for name, gain in (("int8-dynamic", 4.0), ("bf16", 2.0))
        )

    @property
    def assessments(self):
        reason = "36 Linear layers are compute-bound."
        found = {each.name: Assessment(True, reason, 0.83, 2.0, 0.5, "measured") for each in TECHNIQUES}
        found["int8-dynamic"] = Assessment(True, reason, 0.83, 4.0, 0.38, "measured")
        found["compile"] = Assessment(False, "It needs a compiler, and none was found.")
        return found

    @property
    def can_undo(self):
        return any(step.accepted and not step.undone for step in self.steps)

    @property
    def can_redo(self):
        return bool(self.undone)

    def predict(self, progress=None):
        progress.report("Predicting", 0.5)
        return self.recommendations

    def swap_on(self, swapper):
        self.swap = swapper

    def listen(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def cancel(self):
        self.cancelled = True

    def apply(self, name, keep="if-better", **options):
        technique = next((each for each in TECHNIQUES if each.name == name), None)
        if technique is None:
            raise errors.UnknownTechnique(f"There is no technique {name!r}.")
        if not self.assessments[name].applies:
            raise errors.NotApplicable(self.assessments[name].reason)
        self.busy, self.cancelled = name, False
        try:
            return self._applied(technique, keep, options)
        finally:
            self.busy = None

    def _applied(self, technique, keep, options):
        print("A worker's print belongs to no cell.")
        print("Nor do its errors.", file=sys.stderr)
        if technique.name == "broken":
            raise ZeroDivisionError("a fault in the engine")
        if technique.name == "slow":
            for number in range(200):
                for listener in list(self.listeners):
                    listener("timing", number / 200)
                if self.cancelled:
                    raise errors.Cancelled("Cancelled: the model is as it was before.")
                time.sleep(0.02)
        self.swap(self.swapped)
        slower = technique.name == "bf16"
        speedup = (
            data.Interval(low=0.5, median=0.6, high=0.7)
            if slower
            else data.Interval(low=4.0, median=4.2, high=4.4)
        )
        step = Step(
            data.StepRecord(
                technique=technique.name,
                label=technique.label,
                options=options,
                verdict="slower" if slower else "faster",
                reason="1.7x slower: left out, it is slower." if slower else "4.2x faster: kept.",
                accepted=keep == "always" or not slower,
                undone=False,
                speedup=speedup,
                predicted_speedup=4.0,
                size_ratio=0.38,
                quality=data.Quality(metric="fidelity", before=1.0, after=0.9999, drop=0.0001, max_drop=0.01),
                before_ms=100.0,
                after_ms=100.0 / speedup.median,
                took_s=1.0,
            ),
            self.report,
        )
        self.steps.append(step)
        return step

    def undo(self):
        kept = [step for step in self.steps if step.accepted and not step.undone]
        if not kept:
            return None
        kept[-1].mark(undone=True)
        self.undone.append(kept[-1])
        return kept[-1]

    def redo(self):
        step = self.undone.pop() if self.undone else None
        if step is not None:
            step.mark(undone=False)
        return step

    def reset(self):
        step = None
        while self.can_undo:
            step = self.undo()
        return step

    def code(self):
        return "model = quantize(model)"

    @property
    def panel(self):
        from jupyter_optim.notebook.panel import panel_of

        return panel_of(self)


class Watch:
    """What happens before the body runs, as it ends, and in measuring, can be set from a test."""

    before = after = during = staticmethod(lambda: None)
    seen: list = []

    def __init__(self, *, cell=None, cell_of=None, lines=True):
        Watch.seen.append(types.SimpleNamespace(cell=cell, cell_of=cell_of, lines=lines))

    def __enter__(self):
        Watch.before()
        return self

    def line_ended(self):
        pass

    def __exit__(self, *_):
        Watch.after()

    def session(
        self,
        model=None,
        terms=None,
        *,
        trace_path=None,
        progress=None,
        predict=True,
    ):
        assert not predict  # the report is shown before that
        progress.report("timing", 0.5)
        Watch.during()
        session = Session(nn.Linear(2, 2) if model is None else model, **vars(terms or Terms()))
        Watch.sessions = [session]
        return session


def fail(error):
    raise error


def install():
    session = types.ModuleType("jupyter_optim.session")
    session.watch, session.Watch, session.Session, session.Terms = Watch, Watch, Session, Terms
    session.current = lambda: Watch.sessions[-1]

    def optimize_expression(
        expression,
        namespace,
        terms=None,
        *,
        trace_path=None,
        progress=None,
    ):
        eval(compile(expression, "<%optimize>", "eval"), namespace)
        made = Session(nn.Linear(2, 2), **vars(terms or Terms()))
        made.expression = expression
        Watch.sessions = [made]
        return made

    session.optimize_expression = optimize_expression
    registry = types.ModuleType("jupyter_optim.techniques.registry")
    registry.techniques = lambda: TECHNIQUES
    sys.modules["jupyter_optim.session"] = session
    sys.modules["jupyter_optim.techniques.registry"] = registry
