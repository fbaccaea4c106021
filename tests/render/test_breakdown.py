from __future__ import annotations

import pytest

from jupyter_optim.render.breakdown import BETWEEN, OTHER, UNDIVIDED, breakdown
from tests.render import samples


@pytest.mark.parametrize("name", ["bert", "bert_after", "tiny", "hostile", "huge"])
def test_the_parts_sum_to_the_call(name):
    found = breakdown(samples.all_samples()[name])
    assert found is not None
    assert sum(part.now_ms or 0 for part in found.parts) == pytest.approx(found.now_ms)


def test_a_replaced_layer_keeps_its_row():
    found = breakdown(samples.bert_after(), samples.bert())
    assert found is not None
    linear = found.parts[0]
    assert linear.label == "36 Linear"
    assert linear.first_ms == pytest.approx(88.1, rel=0.01)
    assert linear.now_ms == pytest.approx(8.06, rel=0.01)
    assert [part.label for part in found.parts][-2:] == [OTHER, BETWEEN]


def test_without_a_baseline_the_first_bar_is_whole():
    found = breakdown(samples.bert_after())
    assert found is not None
    assert found.first_ms == pytest.approx(26.4 * 4.2)
    assert [part.first_ms for part in found.parts if part.label == UNDIVIDED] == [found.first_ms]


def test_nothing_known_nothing_drawn():
    assert breakdown(samples.unknown()) is None
