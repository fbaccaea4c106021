"""What the user asked of a session, besides the model and its inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jupyter_optim.errors import InvalidOption
from jupyter_optim.quality import Evaluate, MaxDrop
from jupyter_optim.report import Goal
from jupyter_optim.session.recommend import checked_goal
from jupyter_optim.session.recovery import Train
from jupyter_optim.techniques.calibration import Calibration
from jupyter_optim.workload import Workload


@dataclass(frozen=True, slots=True)
class Terms:
    """How changes are judged, and what they may use; `jupyter_optim.optimize` says what each means.

    Raises:
        InvalidOption: a value is of the wrong kind.
    """

    evaluate: Evaluate | None = None
    max_drop: float | str | None = None
    goal: str | None = None
    train: Train | None = None
    calibration: Iterable[Any] | None = None
    with_paths: bool = False

    def __post_init__(self) -> None:
        for name, given in (("evaluate", self.evaluate), ("train", self.train)):
            if given is not None and not callable(given):
                raise InvalidOption(
                    f"{name} must be a function of the model, and this is {type(given).__name__}."
                )

    def read(self, workload: Workload) -> Read:
        """With their defaults, for a session of that workload. Raises `InvalidOption`, `InvalidInputs`."""
        return Read(
            self.evaluate, MaxDrop.parse(0.01 if self.max_drop is None else self.max_drop),
            checked_goal(self.goal or "latency"), self.train,
            None if self.calibration is None else Calibration(self.calibration, workload), self.with_paths,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Read:
    """Terms, checked and completed."""

    evaluate: Evaluate | None
    max_drop: MaxDrop
    goal: Goal
    train: Train | None
    calibration: Calibration | None
    with_paths: bool
