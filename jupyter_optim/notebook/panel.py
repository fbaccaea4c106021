"""The controls below a report: what would help, the buttons that do it, and the way back."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython

from jupyter_optim.notebook import actions
from jupyter_optim.notebook.cards import Card
from jupyter_optim.notebook.display import BY_CODE
from jupyter_optim.notebook.history import changes_html, code_html, history_html
from jupyter_optim.notebook.status import Status
from jupyter_optim.notebook.tensorboard_row import LABEL, TensorBoardRow
from jupyter_optim.notebook.worker import Worker
from jupyter_optim.techniques.registry import techniques
from jupyter_optim.techniques.technique import Assessment

if TYPE_CHECKING:
    from jupyter_optim.notebook.display import Output
    from jupyter_optim.session import Session

_NOT_ASSESSED = Assessment(applies=False, reason="It was not assessed.")
_IN_PLACE = Assessment(applies=False, reason="It is in place; Undo takes it back.")

_PANELS: weakref.WeakKeyDictionary[Session, Panel] = weakref.WeakKeyDictionary()


def panel_of(session: Session) -> Panel:
    """The one panel of `session`, made when it is first asked for."""
    if session not in _PANELS:
        _PANELS[session] = Panel(session)
    return _PANELS[session]


def new_panel_of(session: Session) -> Panel:
    """A new panel of `session`, for a cell that measured it anew; the one before says where it went."""
    former = _PANELS.pop(session, None)
    if former is not None:
        former.retire()
    return panel_of(session)


def leave_report_of(session: Session) -> None:
    """A cell without a panel measured the session anew: the report above an earlier panel stays that of its own cell."""
    former = _PANELS.get(session)
    if former is not None:
        former.detach()


class Panel:
    """Buttons, options, progress, verdict and history of one session.

    Displaying it shows the controls. A click starts the work and returns; `wait` blocks until it is done.
    """

    buttons: dict[str, widgets.Button]
    """By technique name; beside these ``undo``, ``redo``, ``reset``, ``cancel``, ``keep-anyway``, ``tensorboard`` and
    ``tensorboard-stop``."""

    def __init__(self, session: Session) -> None:
        # weakly: ipywidgets keeps every widget until the kernel ends, and would keep the model with it
        self._session = weakref.ref(session)
        self._status = Status(lambda _: self._worker.cancel())
        self._worker = Worker(session, self._status, self._show_news)
        self._shell = get_ipython()
        self._following = False
        self._output: Output | None = None
        self._offered: list[str] = []
        self._seen: tuple[object, ...] = ()
        self._cards = {technique.name: Card(technique, self._try) for technique in techniques()}
        self._commands = {
            "undo": _command("Undo", "Take back the last change that was kept", "undo", self._undo),
            "redo": _command("Redo", "Make the change again that was undone last", "repeat", self._redo),
            "reset": _command(
                "Reset", "Take back all changes: the model as it was at first", "refresh", self._reset
            ),
            "keep-anyway": _command("Keep anyway", "Make the change that was left out", "check", self._force),
        }
        self._tensorboard = TensorBoardRow(self._view, self._await_viewer)
        self.buttons = {
            **{name: card.button for name, card in self._cards.items()},
            **self._commands,
            **self._tensorboard.buttons,
            "cancel": self._status.cancel,
        }
        self._top = widgets.VBox()
        self._row = widgets.HBox(list(self._commands.values()), layout=widgets.Layout(flex_flow="row wrap"))
        self._offers = widgets.VBox()
        self._others = widgets.VBox()
        self._history, self._code = widgets.HTML(), widgets.HTML()
        self._folded = widgets.Accordion(
            [self._history, self._code, self._others], layout=widgets.Layout(margin="6px 0 0 0")
        )
        self._changes = widgets.HTML()
        self._root = widgets.VBox(
            [self._top, self._offers, self._folded, self._changes, self._tensorboard.widget],
            layout=widgets.Layout(width="100%", padding="4px 12px"),
        )
        self._root.add_class("jupyter-optim-panel")
        self._watch_cells()
        self._place_status(self._top)
        self._sort()
        self.refresh()

    @property
    def said(self) -> str:
        """What the panel said last: a verdict, or why nothing was done."""
        return self._status.said

    @property
    def busy(self) -> str | None:
        """What its worker is busy with, or None."""
        return self._worker.busy

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the work that a click started is done; False if that took longer than `timeout` seconds.

        Raises:
            KeyboardInterrupt: the kernel was interrupted, which cancels the work, too.
        """
        try:
            return self._worker.wait(timeout)
        except KeyboardInterrupt:
            self._worker.cancel()
            raise

    def attach(self, output: Output) -> None:
        """Keep the report that `output` shows up to date from now on."""
        self._output = output
        self._place_status(self._top)
        self._sort()
        self._folded.selected_index = None  # the report has the history, too
        self.refresh()

    def detach(self) -> None:
        """Leave the report above as it is from now on: what comes next is measured on another cell's inputs."""
        self._output = None
        self.refresh()

    def retire(self) -> None:
        """Leave a word in place of the controls: what they say would be of another cell."""
        self._output = None
        self._tensorboard.stop()
        if self._shell is not None and self._following:
            self._following = False
            self._shell.events.unregister("post_run_cell", self._follow)
        words = "The controls of this model are below the cell that measured it last."
        self._root.children = [widgets.HTML(f'<div class="jupyter-optim-no-controls">{words}</div>')]

    def _sort(self) -> None:
        """Put what would help most first."""
        session = self._session()
        if session is not None:
            best = [each.technique for each in session.recommendations]
            self._offered = [name for name in best if name in self._cards]

    def refresh(self) -> None:
        """Show the session as it is now."""
        session = self._session()
        if session is None:
            return
        best = [each.technique for each in session.recommendations]
        in_place = {step.technique for step in session.history if step.accepted and not step.undone}
        assessments = session.assessments
        for name, card in self._cards.items():
            assessment = assessments.get(name, _NOT_ASSESSED)
            if name in in_place and not assessment.applies:
                assessment = _IN_PLACE
            card.show(assessment, best=bool(best) and name == best[0])
            if assessment.applies and name not in self._offered:
                self._offered.append(name)
        # what was offered stays where it is: rows that move or vanish would be under the next click
        others = [name for name in self._cards if name not in self._offered]
        self._offers.children = [self._cards[name].widget for name in self._offered]
        self._others.children = [self._cards[name].widget for name in others]
        self._refresh_history(session, len(others))

    def _refresh_history(self, session: Session, others: int) -> None:
        self._seen = _state(session)
        self._commands["undo"].disabled = not session.can_undo
        self._commands["redo"].disabled = not session.can_redo
        self._commands["reset"].disabled = not session.can_undo
        self._commands["keep-anyway"].layout.display = None if actions.left_out(session) else "none"
        records = [step.record() for step in session.history]
        self._row.layout.display = None if records else "none"
        self._history.value = history_html(records)
        self._changes.value = changes_html(session.baseline, session.report) if session.can_undo else ""
        self._code.value = code_html(session.code() if session.can_undo else "")
        self._folded.titles = (
            f"History ({len(records)})",
            "The changes as plain PyTorch",
            f"Not for this model ({others})",
        )

    def _place_status(self, slot: widgets.Box) -> None:
        """Put progress, verdict and the way back into `slot`."""
        if slot.children:
            return
        for other in (self._top, self._tensorboard.slot, *(card.slot for card in self._cards.values())):
            other.children = ()
        slot.children = (self._status.widget, self._row)

    def _try(self, name: str) -> None:
        card = self._cards[name]
        if self._worker.busy is None:
            self._place_status(card.slot)
        options = card.values()
        self._worker.start(
            card.technique.label, lambda session: actions.apply(session, name, "if-better", options)
        )

    def _force(self, _: widgets.Button) -> None:
        session = self._session()
        step = actions.left_out(session) if session is not None else None
        if step is not None:
            name, options = step.technique, dict(step.options)
            self._worker.start(
                f"{step.label}, kept anyway", lambda session: actions.apply(session, name, "always", options)
            )

    def _undo(self, _: widgets.Button) -> None:
        self._worker.start("Undo", actions.undo)

    def _redo(self, _: widgets.Button) -> None:
        self._worker.start("Redo", actions.redo)

    def _reset(self, _: widgets.Button) -> None:
        self._worker.start("Reset", actions.reset)

    def _view(self, _: widgets.Button) -> None:
        if self._worker.busy is None:
            self._place_status(self._tensorboard.slot)
        self._worker.start(LABEL, self._tensorboard.open)

    def _await_viewer(self) -> None:
        self._worker.check()
        self._status.news("waiting for TensorBoard to read the trace", None)

    def _show_news(self, session: Session) -> None:
        changed = not _same(_state(session), self._seen)
        self.refresh()
        if changed and self._output is not None:
            self._output.report(session.report, session.baseline, controls=self._root.model_id)

    def _watch_cells(self) -> None:
        """Follow changes that a cell makes by code, ``session.undo()`` say."""
        self._following = self._shell is not None
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self._follow)

    def _follow(self, _: object) -> None:
        session = self._session()
        if session is None:
            self.retire()
        elif self._worker.busy is None and not _same(_state(session), self._seen):
            self._show_news(session)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        name = next(iter(self._offered_names()), "int8-dynamic")
        code = BY_CODE.format(technique=name)
        text = "The controls of jupyter_optim need a running kernel: run the cell again. The same by code:"
        return {
            **self._root._repr_mimebundle_(),
            "text/plain": f"{text}\n{code}",
            "text/html": f'<div class="jupyter-optim-no-controls">{escape(text)} <code>{escape(code)}</code></div>',
        }

    def _offered_names(self) -> list[str]:
        session = self._session()
        return [] if session is None else [each.technique for each in session.recommendations]


def _command(label: str, tooltip: str, icon: str, press: Callable[[widgets.Button], None]) -> widgets.Button:
    button = widgets.Button(
        description=label,
        tooltip=tooltip,
        icon=icon,
        layout=widgets.Layout(width="auto", margin="6px 8px 6px 0"),
    )
    button.on_click(press)
    return button


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(a is b or a == b for a, b in zip(one, other, strict=True))


def _state(session: Session) -> tuple[object, ...]:
    """What the panel and the report show: if any of it changes, they must."""
    return (session.report, *((step.technique, step.accepted, step.undone) for step in session.history))
