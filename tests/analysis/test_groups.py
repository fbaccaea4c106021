from __future__ import annotations

import msgspec
import pytest

from jupyter_optim.analysis.groups import OUTSIDE, short_op, time_groups
from tests.render import samples


def test_layers_go_by_class_and_the_ops_between_them_by_name():
    report = samples.bert()
    groups = time_groups(report.ops, report.modules)
    labels = [group.label for group in groups]
    assert labels[:3] == ["36 Linear", "scaled_dot_product_flash_attention", "6 GELUActivation"]
    assert groups[0].class_name == "Linear"
    assert len(groups[0].modules) == 36
    assert groups[1].class_name is None
    assert OUTSIDE in labels


@pytest.mark.parametrize("name", samples.all_samples())
def test_groups_sum_to_the_ops_largest_first(name):
    report = samples.all_samples()[name]
    groups = time_groups(report.ops, report.modules)
    assert sum(group.ms for group in groups) == pytest.approx(sum(op.self_ms for op in report.ops))
    assert sum(group.share for group in groups) == pytest.approx(sum(op.share for op in report.ops))
    assert [group.ms for group in groups] == sorted((group.ms for group in groups), reverse=True)


def test_a_bare_layer_is_a_layer():
    report = samples.tiny()
    assert [group.label for group in time_groups(report.ops, report.modules)] == ["1 Linear"]


def test_ops_of_no_module_go_by_name_too():
    report = samples.bert()
    astray = msgspec.structs.replace(report.ops[0], module=None, self_ms=50.0, share=0.3)
    groups = time_groups((*report.ops, astray), report.modules)
    assert next(group for group in groups if group.label == short_op(astray.name)).ms >= 50.0


def test_a_layer_whose_children_were_never_called_is_a_layer():
    # such as `nn.MultiheadAttention`, which uses its `out_proj`'s weights without calling it
    report = samples.tiny()
    op = msgspec.structs.replace(report.ops[0], module="attention")
    rows = tuple(
        msgspec.structs.replace(report.modules[0], path=path, class_name=name, calls=calls)
        for path, name, calls in (("", "Net", 1.0), ("attention", "MultiheadAttention", 1.0),
                                  ("attention.out_proj", "Linear", 0.0))
    )  # fmt: skip
    assert [group.label for group in time_groups((op,), rows)] == ["1 MultiheadAttention"]


def test_short_names():
    assert (
        short_op("aten::_scaled_dot_product_flash_attention_for_cpu") == "scaled_dot_product_flash_attention"
    )
    assert short_op("addmm") == "addmm"
    assert short_op("::__") == "::__"
