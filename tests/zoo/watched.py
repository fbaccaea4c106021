"""A model under watch while something fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques import registry
from tests.zoo import check_same, fingerprint, named, outputs_equal, peek, rogues
from tests.zoo.timings import short_timings

HARMLESS = "rogue-clones"
"""A technique that always works."""


@contextmanager
def rogues_registered(folder: Path) -> Iterator[None]:
    """The techniques of `rogues`, as if a package that brings them was installed in `folder`; short timings."""
    with pytest.MonkeyPatch.context() as patch, short_timings(), torch.enable_grad():
        patch.syspath_prepend(rogues.install(folder))
        registry.techniques.cache_clear()
        yield
    registry.techniques.cache_clear()


@dataclass(repr=False)
class Watched:
    """A model and what it was before the fault."""

    model: nn.Module
    inputs: Any
    expected: Any
    before: dict[str, Any]
    session: Any = None

    @classmethod
    def of(cls, name: str) -> Watched:
        model, inputs = named(name).build()
        return cls(model, inputs, peek(model, inputs), fingerprint(model))

    def measure(self, **options: Any) -> Watched:
        self.session = jo.optimize(self.model, self.inputs, **options)
        return self

    def check_unchanged(self, *, but: tuple[str, ...] = ()) -> None:
        check_same(self.before, fingerprint(self.model), but)
        assert torch.is_grad_enabled()
        assert outputs_equal(peek(self.model, self.inputs), self.expected)

    def check_usable(self) -> None:
        """The session is not stuck: a change is applied and undone."""
        step = self.session.apply(HARMLESS, keep="always")
        assert step.accepted, step.reason
        assert self.session.undo() is not None
        self.check_unchanged()


def suffer(watched: Watched, error: str, technique: str, /, **options: Any) -> None:
    """Apply what must fail with `error`, and see that nothing has happened but an entry in the history."""
    session = watched.session
    if error == "KeyboardInterrupt":
        with pytest.raises(KeyboardInterrupt):
            session.apply(technique, keep="always", **options)
        assert not any(step.accepted for step in session.history)
    else:
        step = session.apply(technique, keep="always", **options)
        assert step.verdict == "failed"
        assert step.reason
        assert not step.accepted
        assert session.history[-1] == step
    watched.check_unchanged()
    watched.check_usable()
