"""What the magic shows beside a report."""

from __future__ import annotations

import json
from pathlib import Path

from jupyter_optim.notebook.display import Output
from tests.render import samples


class Shell:
    """Of a front end: collects what it is told to show."""

    kernel = object()

    def __init__(self):
        self.display_pub = self
        self.shown = []

    def publish(self, data, metadata, transient, update):
        self.shown.append(json.dumps([data, metadata]))


def _card(**options):
    shell, folder = Shell(), str(Path("~/secret/place").expanduser())
    traceback = (
        f'Traceback (most recent call last):\n  File "{folder}/net.py", line 3, in forward\nOSError: {folder}'
    )
    Output(shell, **options).card("Not done", f"{folder}/x/net.pt cannot be read.", traceback)
    return shell.shown[-1], folder


def test_a_card_tells_which_file_it_was_and_not_whose():
    shown, folder = _card()
    assert folder not in shown
    assert "x/net.pt cannot be read." in shown
    assert "net.py" in shown


def test_a_card_keeps_paths_for_who_wants_them():
    shown, folder = _card(with_paths=True)
    assert f"{folder}/x/net.pt cannot be read." in shown


def test_an_update_tells_whose_it_is_in_what_is_saved_nowhere():
    shell = Shell()
    said = []
    shell.publish = lambda data, metadata, transient, update: said.append((metadata, transient, update))
    output = Output(shell)
    output.report(samples.bert())
    output.report(samples.bert_after(), samples.bert(), controls="the widget")
    (_, first, _), (metadata, second, update) = said
    assert "jupyter_optim_controls" not in first
    assert second == {**first, "jupyter_optim_controls": "the widget"}
    assert update
    assert metadata == {}
