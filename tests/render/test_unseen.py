"""The sentence on what worked beside the cell, in html and text."""

from __future__ import annotations

import msgspec
import pytest

from jupyter_optim.render import to_html, to_text
from jupyter_optim.report import Report, Unseen, Worker
from tests.render.html_reading import Reading
from tests.render.samples import bert

LOADERS = Worker(name="DataLoader worker", process=True, cpu_s=1.4, count=2)
THREAD = Worker(name="fetch", process=False, cpu_s=0.031, count=1)
POOL = Worker(name="pool", process=False, cpu_s=0.5, count=8)
COMPILER = Worker(name="cc1plus", process=True, cpu_s=2.0, count=3)
SHORT = Worker(name="short-lived processes", process=True, cpu_s=0.2)


def report_with(*workers: Worker, share: float | None = 0.35, reason: str | None = None) -> Report:
    cpu_s = sum(worker.cpu_s for worker in workers)
    unseen = Unseen(workers=workers, cpu_s=cpu_s, share=share, method="clocks", reason=reason)
    return msgspec.structs.replace(bert(), unseen=unseen)


def shown(report: Report) -> tuple[str, str]:
    return Reading(to_html(report, figure=False)).text, " ".join(to_text(report).split())


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ((LOADERS,), "2 DataLoader workers 1.40 s of CPU time (35% of the run's)."),
        ((LOADERS, THREAD), "2 DataLoader workers 1.40 s, thread fetch 31.0 ms of CPU time (35% of the run's)."),
        ((COMPILER, POOL, SHORT), "3 processes cc1plus 2.00 s, 8 threads pool 500 ms, short-lived processes 200 ms of"),
        ((THREAD,) * 7, "thread fetch 31.0 ms and 2 more of CPU time"),
    ],
)  # fmt: skip
def test_it_names_them_with_their_time(workers: tuple[Worker, ...], words: str) -> None:
    for text in shown(report_with(*workers)):
        assert "Beside the cell, in no op and no line: " in text
        assert words in text


def test_what_is_not_known_is_said() -> None:
    for text in shown(report_with(share=None, reason="this system does not tell")):
        assert "Work beside the cell is not known in full: this system does not tell." in text
        assert "Beside the cell, in" not in text


@pytest.mark.parametrize("report", [bert(), report_with(share=0.01)])
def test_nothing_is_said_of_nothing(report: Report) -> None:
    for text in shown(report):
        assert "eside the cell" not in text


def test_a_name_cannot_break_the_page() -> None:
    evil = Worker(name="<script>`alert(1)`\n\u202e" + "x" * 500, process=False, cpu_s=1.0, count=1)
    found = Reading(to_html(report_with(evil), figure=False))
    assert found.errors == []
    assert "script" not in found.tags
    assert "x" * 100 not in found.text
    assert "<script>" in found.text
