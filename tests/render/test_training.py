"""A training step, as html and text tell it."""

from __future__ import annotations

import msgspec
import pytest

from jupyter_optim.render import to_html, to_text
from tests.render import samples
from tests.render.html_reading import Reading


def test_each_phase_has_its_largest_line_module_and_op_below_it() -> None:
    lines = to_text(samples.trained()).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("A training step: 40.0 ms (6 steps"))
    assert [word for word in lines[at + 3].split() if word != "█████"][:3] == ["backward", "20.0", "ms"]
    assert "52.0 MB" in lines[at + 3]
    assert lines[at + 4].strip() == "line this cell:4 97%, module encoder.layer.0 70%, op aten::mm 80%"
    assert lines[at + 6].strip() == "line this cell:7 100%, op aten::addcdiv_ 40%"


@pytest.mark.parametrize("width", [60, 100])
def test_who_holds_the_memory_is_said_whole(width: int) -> None:
    words = " ".join(to_text(samples.trained(), width).split())
    assert (
        "At most 91.0 MB held: optimizer state 40.0 MB, weights 20.0 MB, gradients 20.0 MB, activations 11.0 MB"
        in words
    )


def test_html_shows_the_phases_and_folds_what_takes_them() -> None:
    html = to_html(samples.trained())
    shown, folded = html.split("<details><summary>What takes each phase of a training step</summary>")
    assert "jupyter-optim-phases" in shown
    assert "At most 91.0 MB held" in shown
    parts = folded.split("</details>")[0]
    assert [name for name in ("forward", "backward", "optimizer", "other") if f"jupyter-optim-phase-{name}" in parts] == [
        "forward", "backward", "optimizer",
    ]  # fmt: skip
    text = Reading(parts).text
    assert "aten::gelu" in text
    assert "(the model itself)" in text


def test_without_its_weights_the_sum_is_not_told() -> None:
    training = msgspec.structs.replace(samples.training(), peak_bytes=None)
    words = " ".join(to_text(msgspec.structs.replace(samples.bert(), training=training)).split())
    assert "When most was held, besides the weights: optimizer state" in words
    assert "At most" not in words


def test_a_report_of_before_has_its_phases_without_parts() -> None:
    plain = tuple(
        msgspec.structs.replace(phase, top_ops=(), top_modules=(), top_lines=(), peak_bytes=None)
        for phase in samples.training().phases
    )
    training = msgspec.structs.replace(samples.training(), phases=plain, at_peak=(), peak_bytes=None)
    html = to_html(msgspec.structs.replace(samples.bert(), training=training))
    assert "jupyter-optim-phases" in html
    assert "What takes each phase" not in html
