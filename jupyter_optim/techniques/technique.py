"""What a technique is: a named change to a model, which knows when it applies and what it should bring."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from jupyter_optim.errors import InvalidOption, NotApplicable, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from jupyter_optim.progress import Progress
    from jupyter_optim.techniques.subject import Subject

Weights = Literal["shared", "cloned"]
Rebuilds = Literal["never", "structure", "afterwards"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a technique, as a number field, a choice or a tick box shows it."""

    name: str
    label: str
    default: float | int | bool | str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""

    def parse(self, value: Any) -> float | int | bool | str:
        """`value` as this option takes it.

        Raises:
            InvalidOption: wrong type, out of range, or none of the choices.
        """
        if self.choices:
            if value not in self.choices:
                raise InvalidOption(f"{self.name}={value!r}: choose one of {', '.join(self.choices)}.")
            return str(value)
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise InvalidOption(f"{self.name}={value!r}: give True or False.")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidOption(f"{self.name}={value!r}: give a number.")
        # written so that NaN fails too
        if not ((self.low is None or value >= self.low) and (self.high is None or value <= self.high)):
            raise InvalidOption(f"{self.name}={value}: give a number from {self.low} to {self.high}.")
        return value


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether a technique applies to a model, and what it should bring."""

    applies: bool
    reason: str
    """Why it helps, or why it does not apply."""
    covers_share: float | None = None
    """Fraction of the call's time in the layers that it changes."""
    predicted_speedup: float | None = None
    predicted_size_ratio: float | None = None
    """Predicted weight bytes over present weight bytes."""
    method: str = ""
    """How the prediction was got."""

    def within_its_share(self) -> Assessment:
        """This, with a prediction of no more than Amdahl's law allows: a rehearsal on a busy machine may say more."""
        if self.predicted_speedup is None or self.covers_share is None:
            return self
        most = 1 / max(0.02, 1 - self.covers_share)
        if self.predicted_speedup <= most:
            return self
        method = f"{self.method}; no more than the time it covers".removeprefix("; ")
        return replace(self, predicted_speedup=most, method=method)


def counted(number: int, noun: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class HasSubject(Protocol):
    """A session, as far as a technique needs to know it."""

    @property
    def subject(self) -> Subject: ...


@dataclass(slots=True)
class Change:
    """What a technique made of a draft."""

    model: nn.Module
    """The changed draft: the same object, or a new root around it."""
    note: str = ""
    """What was done, in words, for the history: ``36 Linear layers, torch.ao``."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What `Technique.source` needs to write the same change as plain PyTorch."""
    zeros: dict[str, torch.Tensor] = field(default_factory=dict)
    """By name of a parameter, where it was set to zero (bool, in its shape): training must leave those."""
    compiled: dict[str, Any] | None = None
    """Arguments of `torch.compile` if the model is to be compiled; compiled code belongs to one module object,
    so the draft and the live model are each compiled by whoever timed or grafts them."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A step that was saved: what a technique needs to make its structure anew, without the original inputs."""

    options: Mapping[str, Any]
    facts: Mapping[str, Any]
    """`Change.facts` of the step, as they came back from JSON."""
    inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    """Positional or keyword inputs for an example call, where the user gave any."""
    calibration: Iterable[Any] | None = None
    """Inputs that fixed scales are found on, as for `optimize`, where the user gave any."""


class Technique(ABC):
    """A named change to a model. Stateless: one instance serves every session."""

    name: ClassVar[str]
    """``family-detail`` in lower case."""
    family: ClassVar[str]
    label: ClassVar[str]
    risk: ClassVar[str]
    """What it may do to the answers, in one sentence."""
    options: ClassVar[tuple[Option, ...]] = ()
    weights: ClassVar[Weights] = "shared"
    """``cloned`` for a technique that writes weights in place."""
    rebuilds: ClassVar[Rebuilds] = "never"
    """Whether `rebuild` makes the structure anew for weights to be put into, or from a model that has its weights."""
    lossy: ClassVar[bool] = False
    """Whether it takes something out that training afterwards can make up for."""
    builds: ClassVar[bool] = False
    """Whether its work is worth counting against the calls that it makes faster: a compilation, a conversion."""

    @abstractmethod
    def judge(self, subject: Subject) -> Assessment:
        """Whether it applies to `subject`, and what it should bring there."""

    @abstractmethod
    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        """Change `draft` freely and return what came of it; the live model is out of reach."""

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        """Give `draft`, an original of the same class, the structure that `transform` once gave to another one.

        Neither inputs nor the right weights are there yet: those are put in afterwards, into whatever tensors the
        structure has. A technique with `rebuilds` = "afterwards" is called once they are in.
        `Change.facts` of a technique that can do this are plain numbers, text, lists and dicts: they go through JSON.

        Raises:
            NotApplicable: it cannot, or not without inputs.
            Exception: `kept` does not fit the draft; the caller makes a sentence of it.
        """
        raise NotApplicable(f"{self.label} cannot be made anew from a file.")

    @abstractmethod
    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        """The same change as plain source, to a variable called ``model``."""

    def assess(self, session: HasSubject) -> Assessment:
        """Whether it applies to the session's model as it is now, and what it should bring."""
        return self.judge(session.subject)

    def parse_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given`, checked and completed with the defaults.

        Raises:
            InvalidOption: an unknown name, or a value out of range.
        """
        known = {option.name: option for option in self.options}
        for name in given:
            if name not in known:
                valid = nearest(name, known)
                raise InvalidOption(
                    f"{self.name} has no option {name!r}. "
                    + (f"It has: {', '.join(valid)}." if valid else "It has no options.")
                )
        return {name: option.parse(given.get(name, option.default)) for name, option in known.items()}
