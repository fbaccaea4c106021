"""What the panel's buttons do to a session, each with the words for what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from jupyter_optim.notebook.history import LEFT_OUT, verdict_text

if TYPE_CHECKING:
    from jupyter_optim.session import Session


def apply(session: Session, name: str, keep: Literal["if-better", "always"], options: dict[str, Any]) -> str:
    """Try a technique, and give the verdict."""
    return verdict_text(session.apply(name, keep=keep, **options).record())


def undo(session: Session) -> str:
    """Take back the last change."""
    return _named("Undone", session.undo(), "There is nothing to undo.")


def redo(session: Session) -> str:
    """Make the change again that was undone last."""
    return _named("Done again", session.redo(), "There is nothing to redo.")


def reset(session: Session) -> str:
    """Take back all changes."""
    return (
        "There is nothing to reset." if session.reset() is None else "Reset: the model is as it was at first."
    )


def left_out(session: Session) -> Any:
    """The last step, if it ran well and was left out all the same."""
    last = session.history[-1] if session.history else None
    return last if last is not None and not last.accepted and last.verdict in LEFT_OUT else None


def _named(what: str, step: Any, nothing: str) -> str:
    return nothing if step is None else f"{what}: {step.label}."
