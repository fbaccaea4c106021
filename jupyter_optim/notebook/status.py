"""The panel's first line: what goes on, how far it is, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape

import ipywidgets as widgets

from jupyter_optim.notebook.display import marked

_PAUSE_S = 0.1
_READ_S = 3.0
_TEXT = "color: var(--jp-ui-font-color1, inherit); line-height: 1.4; font-size: 14px"


class Status:
    """A live line of text; while something goes on, a bar and *Cancel* beside it."""

    def __init__(self, cancel: Callable[[widgets.Button], None]) -> None:
        self.said = ""
        self._name = ""
        self.cancel = widgets.Button(
            description="Cancel",
            tooltip="Stop this; the model stays as it is",
            icon="stop",
            disabled=True,
            layout=widgets.Layout(width="auto", flex="0 0 auto"),
        )
        self.cancel.on_click(cancel)
        self._line = widgets.HTML()
        self._bar = widgets.HTML()
        self._going = widgets.HBox(
            [self._bar, self.cancel], layout=widgets.Layout(display="none", align_items="center")
        )
        self._spoke_at = 0.0
        self.widget = widgets.VBox([self._line, self._going])

    def say(self, text: str, details: str = "") -> None:
        """Show one sentence; `details` stay folded."""
        self.said = text
        folded = (
            f"<details><summary>Details</summary><pre>{escape(details)}</pre></details>" if details else ""
        )
        self._line.value = (
            f'<div role="status" aria-live="polite" style="{_TEXT}">{marked(text)}{folded}</div>'
        )

    def answer(self, text: str) -> None:
        """Show one sentence for long enough to be read while news of the work go on."""
        self._spoke_at = time.monotonic() + _READ_S
        self.say(text)

    def begin(self, name: str) -> None:
        """Show that `name` goes on."""
        self._show_bar(None)
        self.cancel.description = "Cancel"
        self.cancel.disabled = False
        self._going.layout.display = None
        self._spoke_at = 0.0
        self._name = name
        self.say(f"{name} ...")

    def news(self, text: str, fraction: float | None) -> None:
        """Show where the work stands; some ten times a second at most."""
        now = time.monotonic()
        if now - self._spoke_at >= _PAUSE_S:
            self._spoke_at = now
            named = text.startswith(self._name)
            self.say(f"{text} ..." if named else f"{self._name}: {text} ...")
            self._show_bar(fraction)

    def cancelling(self) -> None:
        """Show that *Cancel* was heard."""
        self.cancel.description = "Cancelling ..."

    def end(self, text: str, details: str = "") -> None:
        """Show what came of it."""
        self.cancel.disabled = True
        self._going.layout.display = "none"
        self.say(text, details)

    def _show_bar(self, fraction: float | None) -> None:
        # the browser's own element: ipywidgets' bars cannot show that the end is unknown
        value = "" if fraction is None else f' value="{fraction:.2f}" max="1"'
        self._bar.value = f'<progress aria-label="Progress"{value} style="width: 260px"></progress>'
