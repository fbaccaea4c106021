"""`compile`: torch.compile, in place, keeping the class and the `state_dict` keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from jupyter_optim.compiled_call import GRAPHS, needs_frame
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Option, Technique

_FUSIBLE = frozenset(
    [
        "_native_batch_norm_legit_no_training",
        "_softmax",
        "_to_copy",
        "add",
        "batch_norm",
        "cat",
        "clamp",
        "clamp_min",
        "clone",
        "copy_",
        "div",
        "eq",
        "exp",
        "gelu",
        "hardswish",
        "layer_norm",
        "leaky_relu",
        "masked_fill",
        "mean",
        "mul",
        "native_batch_norm",
        "native_group_norm",
        "native_layer_norm",
        "neg",
        "pow",
        "relu",
        "rsqrt",
        "sigmoid",
        "silu",
        "sqrt",
        "sub",
        "sum",
        "tanh",
        "var",
        "where",
    ]
)
"""Ops that inductor fuses with their neighbours; each also in its in-place form."""

_FUSED_GAIN = 0.5
"""Fraction of the time of ops that fuse which fusion saves: each is bound by memory, and about half of its
traffic is what a neighbour wrote or will read."""
_OVERHEAD_GAIN = 0.5
"""Fraction of the time between ops that compiled code saves; guards and the call itself remain."""
_GRAPH_GAIN = 0.95
"""Fraction of a GPU's idle time that replaying one recorded graph saves; the call itself remains."""
_WAITS = 0.2
"""Fraction of the time that a GPU is idle from which on its kernels are recorded."""


class Compile(Technique):
    """Trace the model, fuse what is between the matrix products, and generate code."""

    name = "compile"
    family = "engine"
    rebuilds = "structure"
    builds = True
    label = "Compile (torch.compile)"
    risk = "None for the answers beyond rounding; the first call, and each new input shape, compiles for seconds."
    options = (
        Option(
            "mode", "Mode", "auto", choices=("auto", "default", GRAPHS, "max-autotune-no-cudagraphs"),
            help="How hard to search for faster code. `reduce-overhead` records a GPU's kernels once, as a CUDA graph, "
            "and launches them all at once; `auto` does so where the GPU waits for Python.",
        ),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        if subject.obstacle is not None:
            return Assessment(applies=False, reason=subject.obstacle)
        if subject.training:
            return Assessment(
                applies=False, reason="it was called in train mode: compile it in the training loop itself"
            )
        fused = sum(op.share for op in subject.report.ops if _fusible(op.name))
        trace = subject.report.trace
        idle = (trace.unattributed_ms or 0.0) / trace.call_ms if trace.call_ms else 0.0
        between, gain, part = f"{idle:.0%} between ops", _OVERHEAD_GAIN, "half of that between ops"
        if _recorded(subject):
            between = f"in {idle:.0%} the GPU waits: its kernels are recorded as one CUDA graph"
            gain, part = _GRAPH_GAIN, f"{_GRAPH_GAIN:.0%} of that in which the GPU waits"
        saved = _FUSED_GAIN * fused + gain * idle
        return Assessment(
            applies=True,
            reason=f"{fused:.0%} of the time is in ops that can be fused, {between}. Compiling takes "
            "from some seconds to a minute.",
            covers_share=min(1.0, fused + idle), predicted_speedup=1 / max(0.1, 1 - saved), predicted_size_ratio=1.0,
            method=f"estimated from the trace: half the time of ops that fuse, and {part}",
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        progress.report("Compiling: some seconds to a minute", None)
        mode = options["mode"]
        if mode == "auto":
            mode = GRAPHS if _recorded(subject) else "default"
        arguments = {} if mode == "default" else {"mode": mode}
        facts = {"arguments": arguments, "wrapped": needs_frame(subject.model)}
        return Change(draft, "compiled", facts, compiled=arguments)

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        return Change(draft, "compiled", dict(kept.facts), compiled=dict(kept.facts["arguments"]))

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        arguments = [f"{key}={value!r}" for key, value in facts["arguments"].items()]
        if facts["wrapped"]:
            compiled = f"import torch\n\nmodel = torch.compile({', '.join(['model', *arguments])})\n"
        else:
            compiled = f"model.compile({', '.join(arguments)})\n"
        if facts["arguments"].get("mode") == GRAPHS:
            return f"# on a GPU, the next call overwrites an output: clone what you keep\n{compiled}"
        return compiled


def _recorded(subject: Subject) -> bool:
    """Whether kernels are recorded and replayed as a graph, where it is not said otherwise."""
    gpu = subject.report.gpu
    return gpu is not None and 1 - gpu.busy_share >= _WAITS


def _fusible(name: str) -> bool:
    short = name.removeprefix("aten::")
    return short in _FUSIBLE or short.removesuffix("_") in _FUSIBLE
