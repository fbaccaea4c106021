"""Whether a draft answers as the live model does, but for rounding."""

from __future__ import annotations

import torch
from torch import nn

from jupyter_optim.errors import NotApplicable
from jupyter_optim.quality import MaxDrop, fidelity, mismatch
from jupyter_optim.techniques.subject import Subject

_ROUNDING = {torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""How far the answers may move, relative to their largest, for each type that the weights may have."""

_ROUNDING_USUALLY = 1e-3
"""In float32, whose products a GPU may round to ten bits (TF32), and in float64."""


def check_exact(draft: nn.Module, subject: Subject) -> None:
    """Call both once on the kept inputs.

    Raises:
        NotApplicable: there is more than rounding between their answers, or their structure differs.
    """
    workload = subject.workload
    reference, outputs = workload.outputs(subject.model), workload.outputs(draft)
    changed = mismatch(reference, outputs)
    if changed is not None:
        raise NotApplicable(f"it would change what the model returns: {changed}")
    like = fidelity(reference, outputs, MaxDrop(0.0))
    kinds = {each.dtype for each in draft.parameters()} | set(workload.mode.autocast.values())
    allowed = max((_ROUNDING.get(kind, _ROUNDING_USUALLY) for kind in kinds), default=_ROUNDING_USUALLY)
    error = like.details["largest_relative_error"]
    if not error <= allowed or not like.after >= 1 - allowed:
        raise NotApplicable(
            f"changed, it answers otherwise (by {error:.1g} of the largest value), and not only by rounding"
        )
