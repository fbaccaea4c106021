"""What changed, in short: one sentence, the few largest changes, and the rest folded."""

from __future__ import annotations

from functools import cache
from itertools import product

import msgspec
import pytest

from jupyter_optim.analysis.compare import compare
from jupyter_optim.render.changes import render_changes
from tests.render import samples
from tests.render.html_reading import JUPYTERLAB_ATTRIBUTES, JUPYTERLAB_TAGS, Reading

replace = msgspec.structs.replace
NAMES = list(samples.all_samples())


@cache
def changes(before: str, after: str) -> str:
    found = samples.all_samples()
    return render_changes(compare(found[before], found[after]))


@pytest.mark.parametrize(("before", "after"), list(product(NAMES, NAMES)))
def test_any_two_reports_give_sound_html(before, after):
    html = changes(before, after)
    found = Reading(html)
    assert found.errors == []
    assert set(found.tags) <= JUPYTERLAB_TAGS
    for tag, attribute, _ in found.attributes:
        assert attribute in JUPYTERLAB_ATTRIBUTES["*"] | JUPYTERLAB_ATTRIBUTES.get(tag, set())
    assert html.startswith('<details class="jupyter-optim-changes">\n<summary>')
    assert len(html) < 60_000


def test_all_is_folded_behind_the_largest_change():
    summary = changes("bert", "bert_after").partition("</summary>")[0]
    assert "36 Linear layers became" in summary
    assert "of what was gained" in summary


def test_at_most_five_changes_are_shown_at_once():
    html = changes("bert", "bert_after")
    shown = html.partition("<tbody>")[2].partition("</tbody>")[0]
    assert 1 <= shown.count("<tr>") <= 5
    assert "noise" not in shown
    assert "Modules, own time</summary>" in html
    assert "Within noise: " in html


def test_what_the_steps_say_is_not_said_again():
    html = changes("bert", "bert_after")
    assert "95% CI" not in html
    assert "Weights take" not in html


def test_memory_that_changed_is_told():
    before = samples.bert()
    memory = replace(before.memory, peak_bytes=(before.memory.peak_bytes or 0) // 2)
    assert "Peak memory is 50% lower" in render_changes(compare(before, replace(before, memory=memory)))


def test_where_no_part_is_known_the_whole_call_is_told():
    bare, faster = (
        replace(report, ops=(), modules=(), lines=()) for report in (samples.bert(), samples.bert_after())
    )
    faster = replace(faster, memory=bare.memory)
    summary = render_changes(compare(bare, faster)).partition("</summary>")[0]
    assert "<code>BertModel</code> is 4.2x faster" in summary
