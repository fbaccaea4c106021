"""Steps in words."""

from __future__ import annotations

from jupyter_optim.notebook.history import code_html, history_html, verdict_text
from jupyter_optim.report import Interval, Quality, StepRecord


def _record(**changes) -> StepRecord:
    given = {
        "technique": "bf16", "label": "Use bfloat16", "options": {}, "verdict": "faster",
        "reason": "1.6x faster: kept.", "accepted": True, "undone": False,
        "speedup": Interval(low=1.5, median=1.6, high=1.7), "predicted_speedup": 2.0, "size_ratio": 0.5,
        "quality": None, "before_ms": 10.0, "after_ms": 6.2, "took_s": 1.0,
    }  # fmt: skip
    return StepRecord(**{**given, **changes})


def test_a_verdict_names_its_technique_once():
    assert verdict_text(_record()) == "Use bfloat16: 1.6x faster: kept."
    assert (
        verdict_text(_record(reason="Use bfloat16 failed: no memory.")) == "Use bfloat16 failed: no memory."
    )


def test_history_shows_figures_before_and_after():
    quality = Quality(metric="fidelity", before=1.0, after=0.9991, drop=0.0009, max_drop=0.01)
    html = history_html([_record(quality=quality)])
    for text in (
        "1.",
        "Use bfloat16",
        "faster, kept",
        "10.0 ms",
        "6.20 ms",
        "1.6x (1.5 to 1.7)",
        "50% smaller",
        "0.9991",
    ):
        assert text in html


def test_history_says_what_is_not_in_place():
    html = history_html(
        [
            _record(undone=True),
            _record(accepted=False, verdict="slower"),
            _record(
                accepted=False, verdict="failed", speedup=None, size_ratio=None, before_ms=None, after_ms=None
            ),
        ]
    )
    for text in ("faster, undone", "slower, left out", ">failed<"):
        assert text in html
    assert "None" not in html


def test_what_a_technique_is_called_cannot_become_html():
    html = history_html([_record(label="<script>", options={"a": "<b>"})]) + code_html("# <script>")
    assert "<script>" not in html
    assert "&lt;script&gt; (a &lt;b&gt;)" in html


def test_an_empty_history_says_so():
    assert "No change tried yet" in history_html([])
    assert "No change stands" in code_html("")
