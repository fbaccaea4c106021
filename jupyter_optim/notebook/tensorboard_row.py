"""The panel's row for TensorBoard: a button that opens it, the link to it, and a button that ends it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets

from jupyter_optim.notebook.display import marked
from jupyter_optim.notebook.tensorboard import INSTALL, TensorBoard, Waiting, missing

if TYPE_CHECKING:
    from jupyter_optim.report import Report
    from jupyter_optim.session import Session

LABEL = "Open in TensorBoard"

_TEXT = "color: var(--jp-ui-font-color1, inherit); line-height: 1.4; font-size: 13px"
_LINE = "1px solid var(--jp-border-color2, #bdbdbd)"
_OFFER = (
    "Records a few calls of the model as it is now, and shows the trace in TensorBoard's PyTorch profiler."
)


class TensorBoardRow:
    """Keeps one TensorBoard for its panel, which `stop` ends."""

    def __init__(self, press: Callable[[widgets.Button], None], waiting: Waiting) -> None:
        """Make the row.

        Args:
            press: starts `open` in the panel's worker.
            waiting: called while TensorBoard starts; what it raises ends that.
        """
        self._waiting = waiting
        self._board: TensorBoard | None = None
        self._shown: Report | None = None
        self._runs: list[str] = []
        self._open = _button(LABEL, _OFFER, "external-link")
        self._stop = _button("Stop TensorBoard", "End it, and remove its traces", "stop")
        self._open.on_click(press)
        self._stop.on_click(lambda _: self.stop())
        self.buttons = {"tensorboard": self._open, "tensorboard-stop": self._stop}
        self._text = widgets.HTML(layout=widgets.Layout(flex="1 1 320px", min_width="280px", margin="2px 0"))
        self.slot = widgets.VBox(layout=widgets.Layout(flex="0 0 100%"))
        """For what comes of a press: it stands where the user is looking."""
        self.widget = widgets.HBox(
            [self._open, self._text, self._stop, self.slot],
            layout=widgets.Layout(
                flex_flow="row wrap", align_items="flex-start", border_top=_LINE, padding="6px 0", margin="6px 0 0 0"
            ),
        )  # fmt: skip
        self._say()

    def open(self, session: Session) -> str:
        """Show the model as it is now: start TensorBoard, or add to the one that runs; says where it is.

        Raises:
            OptimError: packages are missing, nothing can be traced, or TensorBoard does not start.
            Busy, Cancelled: other work goes on, or the user said so.
        """
        board = self._running()
        try:
            report = session.report
            if report != self._shown:
                run = f"{len(self._runs) + 1}-{_what(session)}"
                session.write_trace(board.run_folder(run))
                self._runs.append(run)
                self._shown = report
            url = board.show(self._runs[-1], self._waiting)
        finally:
            if board.url is None or board.ended:
                board.stop()  # nobody could see it, or end it
            self._say()
        return f"TensorBoard shows the model as it is now as run `{self._runs[-1]}`: {url}"

    def stop(self) -> None:
        """End TensorBoard, if it runs."""
        if self._board is not None:
            self._board.stop()
        self._board, self._shown, self._runs = None, None, []
        self._say()

    def _running(self) -> TensorBoard:
        """The one that runs, or a new one that is yet to start."""
        if self._board is None or self._board.ended:
            self.stop()
            self._board = TensorBoard()
        return self._board

    def _say(self) -> None:
        board = self._board
        url = None if board is None or board.ended else board.url
        self._stop.layout.display = "none" if url is None else None
        if url is not None:
            words = (
                f"TensorBoard runs at {_link(url)}, for browsers on the kernel's machine, and ends with the kernel. "
                "Its plugin loads the charts from the internet."
            )
        elif missing():
            words = f"Needs packages that are not installed: {marked(f'`{INSTALL}`')}"
        else:
            words = escape(_OFFER)
        self._text.value = f'<div style="{_TEXT}">{words}</div>'


def _link(url: str) -> str:
    style = "color: var(--jp-content-link-color, #1565c0); text-decoration: underline"
    where = f"{escape(url)}#pytorch_profiler"
    return f'<a href="{where}" target="_blank" rel="noopener" style="{style}">{escape(url)}</a>'


def _button(label: str, tooltip: str, icon: str) -> widgets.Button:
    layout = widgets.Layout(width="auto", flex="0 0 auto", margin="2px 12px 2px 0")
    return widgets.Button(description=label, tooltip=tooltip, icon=icon, layout=layout)


def _what(session: Session) -> str:
    """What the model carries, as a name for a folder."""
    kept = [step.technique for step in session.history if step.accepted and not step.undone]
    return kept[-1] if kept else "at-first"
