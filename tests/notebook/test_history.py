"""Steps in words."""

from __future__ import annotations

import pytest

from jupyter_optim.notebook.history import history_html, verdict_text
from jupyter_optim.report import Interval, Quality, StepRecord


def _record(**changes) -> StepRecord:
    given = {
        "technique": "bf16", "label": "Compute in bf16", "options": {}, "verdict": "faster", "reason": "",
        "accepted": True, "undone": False, "speedup": Interval(low=1.5, median=1.6, high=1.7),
        "predicted_speedup": 2.0, "size_ratio": 0.5, "quality": None, "before_ms": 10.0, "after_ms": 6.2, "took_s": 1.0,
    }  # fmt: skip
    return StepRecord(**{**given, **changes})


def _interval(low: float, median: float, high: float) -> Interval:
    return Interval(low=low, median=median, high=high)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "1.60x faster (95% CI 1.50 to 1.70), 50% smaller: kept."),
        (
            {"speedup": _interval(4, 4.2, 4.4), "quality": Quality(metric="fidelity", before=1, after=0.99991, drop=0, max_drop=0)},
            "4.2x faster (95% CI 4.0 to 4.4), 50% smaller, cosine 0.9999: kept.",
        ),
        (
            {"speedup": None, "size_ratio": None, "quality": Quality(metric="evaluate", before=99.4, after=99.3, drop=0, max_drop=0)},
            "evaluate 99.4 to 99.3: kept.",
        ),
        (
            {"accepted": False, "verdict": "slower", "speedup": _interval(0.5, 0.8, 0.9), "size_ratio": 1, "reason": "Too few layers"},
            "1.25x slower (95% CI 1.11 to 2.0): left out (slower). Too few layers.",
        ),
        (
            {"accepted": False, "verdict": "no gain", "speedup": _interval(0.98, 1, 1.03), "size_ratio": 1},
            "no faster (1.00x, 95% CI 0.98 to 1.03): left out (no gain).",
        ),
        ({"accepted": False, "verdict": "failed", "reason": "out of memory"}, "Compute in bf16 failed: out of memory. The model is as it was."),
    ],
)  # fmt: skip
def test_verdict_is_one_sentence(changes, said):
    assert verdict_text(_record(**changes)).strip() == said


def test_history_escapes_what_it_shows():
    html = history_html([_record(label="<script>", options={"a": "<b>"})])
    assert "<script>" not in html
    assert "&lt;script&gt; (a &lt;b&gt;)" in html


def test_an_empty_history_says_so():
    assert "No change tried yet" in history_html([])
