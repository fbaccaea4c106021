"""A model as techniques see it, without the minute that measuring and assessing a large one takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.progress import Progress
from jupyter_optim.quality import MaxDrop
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Technique
from jupyter_optim.workload import Workload
from tests.zoo.timings import short_timings


def subject_of(model: nn.Module, inputs: Any) -> Subject:
    """With the report of another, tiny model: for what asks no report."""
    with short_timings():
        report = jo.optimize(nn.Linear(2, 2).eval(), torch.randn(1, 2)).report
    return Subject(model, Workload.of_call(model, inputs), report, {}, MaxDrop(0.01), judged_by_user=False)


def transformed(technique: Technique, subject: Subject, **options: Any) -> nn.Module:
    """What the technique makes of a draft."""
    draft = Draft(subject.model, weights=technique.weights).root
    return technique.transform(draft, subject, technique.parse_options(options), Progress()).model
