"""The changes that a model carries, one on top of another, and those that were taken out again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jupyter_optim.profiling.measure import Measurement
from jupyter_optim.session.step import Step
from jupyter_optim.session.structure import ModuleShape
from jupyter_optim.techniques.graft import Graft, Swapper
from jupyter_optim.techniques.technique import Assessment


@dataclass(slots=True)
class State:
    """The model as it is between two changes, and what is known of it."""

    measurement: Measurement
    assessments: dict[str, Assessment] | None = None


@dataclass(slots=True)
class Applied:
    """A step that was put in, and the model before and after it."""

    step: Step
    graft: Graft
    before: State
    after: State
    structure: tuple[ModuleShape, ...]
    """Of the model before."""


class Changes:
    """A stack of steps: what is put in last is taken out first.

    Attributes:
        first: the model before any change.
        now: the model as it is.
        swap: runs an exchange of the model's contents.
    """

    def __init__(self, first: State) -> None:
        self.first = self.now = first
        self.swap: Swapper = lambda exchange: exchange()
        self._done: list[Applied] = []
        self._undone: list[Applied] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    @property
    def kept(self) -> tuple[Step, ...]:
        """The steps that are in place, in order."""
        return tuple(applied.step for applied in self._done)

    def settle(self, state: State) -> None:
        """`state` is the model as it is now, measured anew."""
        if not self._done:
            self.first = state
        else:
            self._done[-1].after = state
        self.now = state

    def last_without(self, name: str) -> Step | None:
        """The last change in place before which the technique of that name applied, as far as it was judged then."""
        for change in reversed(self._done):
            before = (change.before.assessments or {}).get(name)
            if before is not None and before.applies:
                return change.step
        return None

    @property
    def original(self) -> tuple[ModuleShape, ...] | None:
        """The structure of the model before the first change in place; None if there is none."""
        return self._done[0].structure if self._done else None

    def adopt(self, graft: Graft, verify: Callable[[], None]) -> State:
        """Put a change in, and let `verify` look at the model and set `now`. Returns the state before.

        Whatever `verify` raises, the model is as it was.
        """
        before = self.now
        try:
            self.swap(graft.apply)
            verify()
        except BaseException:
            self.now = before
            self.swap(graft.revert)
            raise
        return before

    def push(self, step: Step, graft: Graft, before: State, structure: tuple[ModuleShape, ...]) -> None:
        """A change that was adopted is a step from now on; what was undone cannot be put in on top of it."""
        self._undone.clear()
        self._done.append(Applied(step, graft, before, self.now, structure))

    def undo(self) -> Step | None:
        """Take the last change out. Returns its step, or None if there is none."""
        if not self._done:
            return None
        last = self._done[-1]
        self.swap(last.graft.revert)
        self._done.pop()
        self._undone.append(last)
        self.now, last.step.undone = last.before, True
        return last.step

    def redo(self) -> Step | None:
        """Put the change that was taken out last in again. Returns its step, or None if there is none."""
        if not self._undone:
            return None
        last = self._undone[-1]
        self.swap(last.graft.apply)
        self._undone.pop()
        self._done.append(last)
        self.now, last.step.undone = last.after, False
        return last.step
