"""What a run shows below its cell: one output, replaced in place as the work goes on."""

from __future__ import annotations

import re
import time
import uuid
from html import escape
from typing import TYPE_CHECKING, Any

from jupyter_optim.profiling.lines.user_code import cleaner
from jupyter_optim.render import headline, to_bundle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_optim.report import Report

BY_CODE = "import jupyter_optim as jo; session = jo.current(); session.apply({technique!r})"
_MUTED = "color: var(--jp-ui-font-color2, #616161)"
_CARD = (
    "border: 1px solid var(--jp-border-color2, #bdbdbd); border-left-width: 4px; padding: 8px 12px; "
    "max-width: 80ch; color: var(--jp-ui-font-color1, inherit)"
)
CONTROLS = "jupyter_optim_controls"
"""In what is sent beside an update of a report and saved nowhere: which controls it belongs to."""

_PAUSE_S = 0.2


class Output:
    """One output of a cell, which is shown once and then updated by its display id.

    Args:
        shell: where it is shown.
        with_paths: whether sentences about errors keep paths and names.
    """

    def __init__(self, shell: InteractiveShell, *, with_paths: bool = False) -> None:
        self._shell = shell
        self._clean = str if with_paths else cleaner().text
        self._id = f"jupyter-optim-{uuid.uuid4().hex}"
        self._shown = False
        self._spoke_at = 0.0

    @property
    def in_terminal(self) -> bool:
        """Whether there is only text: no front end that shows html or replaces an output."""
        return is_terminal(self._shell)

    def say(self, text: str, fraction: float | None = None) -> None:
        """Show that `text` is going on; a few times a second at most, and never in a terminal."""
        now = time.monotonic()
        if self.in_terminal or (self._shown and now - self._spoke_at < _PAUSE_S):
            return
        self._spoke_at = now
        done = "" if fraction is None else f" {fraction:.0%}"
        line = f"{text}{done} ... interrupt the kernel to stop"
        self._publish(
            {
                "text/plain": line,
                "text/html": f'<div class="jupyter-optim-progress" role="status" style="{_MUTED}">{escape(line)}</div>',
            }
        )

    def card(self, title: str, text: str, details: str = "") -> None:
        """Show one plain sentence in place of a report; `details` stay folded."""
        title, text, details = map(self._clean, (title, text, details))
        folded = (
            f"<details><summary>Details</summary><pre>{escape(details)}</pre></details>" if details else ""
        )
        html = (
            f'<div class="jupyter-optim-card" role="note" style="{_CARD}"><strong>{escape(title)}</strong><br>'
            f"{marked(text)}{folded}</div>"
        )
        plain = "\n".join(part for part in (f"{title}: {text}", details.rstrip()) if part)
        self._publish({"text/plain": plain, "text/html": html})

    def clear(self) -> None:
        """Take back what was shown."""
        if self._shown and not self.in_terminal:
            self._publish({"text/plain": "", "text/html": ""})

    def report(self, report: Report, baseline: Report | None = None, controls: str | None = None) -> None:
        """Show the report, or replace the one that is shown.

        Args:
            report: what to show.
            baseline: the report of the model as it was at first.
            controls: id of the widget below it, by which a page that was loaded anew finds the report.
        """
        self._publish(to_bundle(report, baseline), {} if controls is None else {CONTROLS: controls})

    def widget(self, widget: Any) -> None:
        """Show a widget in the place of what is shown."""
        from IPython.display import display, update_display  # noqa: PLC0415 (needed in a notebook only)

        if self._shown:
            update_display(widget, display_id=self._id)
        else:
            display(widget, display_id=self._id)
        self._shown = True

    def headline(self, report: Report, baseline: Report | None = None) -> None:
        """Show one sentence only."""
        line = headline(report, baseline)
        html = f'<div class="jupyter-optim-headline">{marked(line)}</div>'
        self._publish({"text/plain": line.replace("`", ""), "text/html": html})

    def hint(self, technique: str) -> None:
        """Say how to go on by code, where there are no buttons."""
        print(f"To change the model: {BY_CODE.format(technique=technique)}")  # noqa: T201 (a terminal)

    def _publish(self, data: dict[str, Any], also: dict[str, str] | None = None) -> None:
        update = self._shown and not self.in_terminal
        self._shown = True
        self._shell.display_pub.publish(
            data=data, metadata={}, transient={"display_id": self._id, **(also or {})}, update=update
        )


def marked(text: str) -> str:
    """`text` as html, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def is_terminal(shell: InteractiveShell) -> bool:
    """Whether `shell` is IPython in a terminal, not the kernel of a front end."""
    return getattr(shell, "kernel", None) is None
