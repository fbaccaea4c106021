from __future__ import annotations

import math

import msgspec
import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.analysis.compare import Comparison, compare
from jupyter_optim.analysis.compare.comparison import OTHER
from jupyter_optim.report import Interval, Line, ModuleRow, Op, Report
from tests.render import samples

NAMES = list(samples.all_samples())
MIRRORED = {
    "faster": "slower",
    "slower": "faster",
    "new": "gone",
    "gone": "new",
    "noise": "noise",
    "unknown": "unknown",
}
replace = msgspec.structs.replace


def rows(found: Comparison) -> list:
    return [*found.groups, found.rest, *found.ops, *found.op_rows, *found.modules, *found.lines]


def report_of(times: dict[str, tuple[str, float]], median: float | None = None, **changes: object) -> Report:
    """A report of one `addmm` in each of `times`: path -> (class, own time in ms)."""
    call = sum(ms for _, ms in times.values()) * 1.05
    modules = tuple(
        ModuleRow(path=path, class_name=kind, calls=1.0, total_ms=ms, self_ms=ms, share=ms / call, params=1, flops=None,
                  bytes=None)
        for path, (kind, ms) in times.items()
    )  # fmt: skip
    ops = tuple(
        Op(name="aten::addmm", calls=1.0, self_ms=ms, total_ms=ms, share=ms / call, flops=None, bytes=None, bound=None,
           module=path, line=None, device="cpu")
        for path, (_, ms) in times.items()
        if ms
    )  # fmt: skip
    base = samples.bert()
    trace = replace(base.trace, call_ms=call, unattributed_ms=call / 21)
    report = replace(
        base, modules=modules, ops=ops, lines=(), trace=trace, latency=samples.latency(median or call)
    )
    return replace(report, **changes)


def with_lines(*lines: tuple[str, int, str, float]) -> Report:
    made = tuple(
        Line(source=source, lineno=at, text=text, ms=ms, share=0.1) for source, at, text, ms in lines
    )
    return replace(samples.bert(), lines=made)


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    layers = (nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 64))
    return jo.optimize(nn.Sequential(*layers).eval(), torch.randn(32, 256))


@pytest.fixture(scope="module", params=["bf16", "prune-structured"])
def changed(request, session):
    """A technique's name, and the reports before it, with it, and once it is undone."""
    before = session.report
    session.apply(request.param, keep="always")
    after = session.report
    session.undo()
    return request.param, before, after, session.report


# A report against itself


@pytest.mark.parametrize("name", NAMES)
def test_a_report_does_not_differ_from_itself(name):
    report = samples.all_samples()[name]
    found = compare(report, report)
    assert found.like_for_like
    assert found.latency.verdict in ("noise", "unknown")
    assert {row.status for row in rows(found)} <= {"noise"}
    assert all(row.delta_ms == 0 and row.share is None for row in rows(found))
    assert {size.status for size in found.sizes} <= {"same", "unknown"}
    assert {finding.kind for finding in found.findings} <= {"noise"}


def test_a_real_report_does_not_differ_from_itself(session):
    found = compare(session.baseline, Report.from_json(session.baseline.to_json()))
    assert found.latency.verdict == "noise"
    assert {row.status for row in rows(found)} == {"noise"}
    assert found.caveats == ()


# There and back


@pytest.mark.parametrize("a", NAMES)
@pytest.mark.parametrize("b", NAMES)
def test_the_way_back_is_the_way_there_turned_round(a, b):
    first, second = samples.all_samples()[a], samples.all_samples()[b]
    there, back = compare(first, second), compare(second, first)
    assert back.latency.verdict == MIRRORED[there.latency.verdict]
    assert back.like_for_like == there.like_for_like
    if there.latency.speedup is not None:
        assert back.latency.speedup.median == pytest.approx(1 / there.latency.speedup.median)
        assert back.latency.speedup.low == pytest.approx(1 / there.latency.speedup.high)
    for kind in ("groups", "ops", "op_rows", "modules", "lines"):
        forth = sorted((row.delta_ms, MIRRORED[row.status]) for row in getattr(there, kind))
        turned = sorted((-row.delta_ms, row.status) for row in getattr(back, kind))
        assert [ms for ms, _ in turned] == pytest.approx([ms for ms, _ in forth], abs=1e-9)
        assert sorted(status for _, status in turned) == sorted(status for _, status in forth)


def test_an_undone_step_is_taken_out(changed):
    _, _, after, undone = changed
    found = compare(after, undone)
    assert found.latency.basis == "paired"
    assert len(found.steps_removed) == 1
    assert found.steps_added == ()
    assert found.latency.speedup.median == pytest.approx(1 / compare(undone, after).latency.speedup.median)


# Sums


@pytest.mark.parametrize("a", NAMES)
@pytest.mark.parametrize("b", NAMES)
def test_groups_and_the_rest_sum_to_the_change_of_the_call(a, b):
    found = compare(samples.all_samples()[a], samples.all_samples()[b])
    if not found.groups or found.latency.delta_ms is None:
        return
    scale = found.latency.before_ms + found.latency.after_ms
    total = pytest.approx(found.latency.delta_ms, abs=1e-9 * scale)
    assert sum(row.delta_ms for row in found.groups) + found.rest.delta_ms == total
    assert sum(row.delta_ms for row in found.ops) + found.rest.delta_ms == total
    assert sum(row.delta_ms for row in found.op_rows) + found.rest.delta_ms == total
    if found.latency.verdict in ("faster", "slower"):
        assert sum(row.share for row in [*found.groups, found.rest]) == pytest.approx(1)


def test_the_modules_of_a_real_model_sum_to_the_change_too(changed):
    _, before, after, _ = changed
    found = compare(before, after)
    in_modules = sum(row.delta_ms for row in found.modules)
    assert in_modules == pytest.approx(found.latency.delta_ms, abs=0.05 * found.latency.before_ms)


# What a user reads


def test_layers_that_became_others_are_the_first_thing_said():
    found = compare(samples.bert(), samples.bert_after())
    first = found.findings[0]
    assert first.text == (
        "36 Linear layers became DynamicQuantizedLinear: 88.1 ms -> 8.06 ms, 94% of what was gained."
    )
    assert len(first.modules) == 36
    row = next(row for row in found.modules if row.name == "encoder.layer.0.output.dense")
    assert (row.class_before, row.class_after, row.status) == ("Linear", "DynamicQuantizedLinear", "faster")
    assert [size.status for size in found.sizes] == ["smaller", "same", "same"]


def test_a_real_change_is_found_where_it_was_made(changed):
    name, before, after, _ = changed
    found = compare(before, after)
    assert found.like_for_like
    assert found.latency.basis == "paired"
    assert len(found.steps_added) == 1
    weights = found.sizes[0]
    assert weights.status == "smaller"
    assert found.latency.speedup == after.history[-1].speedup
    if name == "bf16":
        assert weights.ratio == pytest.approx(0.5, abs=0.01)


def test_it_is_plain_data(changed):
    _, before, after, _ = changed
    found = compare(before, after)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found


# Noise


def test_within_the_drift_of_the_machine_nothing_is_faster():
    found = compare(samples.bert(111.3), samples.bert(104.0))
    assert found.latency.verdict == "noise"
    assert {row.status for row in rows(found)} == {"noise"}


def test_on_a_quiet_machine_less_is_noise():
    assert compare(samples.bert(111.3), samples.bert(104.0), drift=0.02).latency.verdict == "faster"


def test_an_unsure_report_makes_more_of_it_noise():
    unsure = replace(samples.bert(), latency=samples.latency(111.3, high_ms=230.0))
    assert compare(samples.bert(), samples.bert(60.0)).latency.verdict == "faster"
    found = compare(unsure, samples.bert(60.0))
    assert found.latency.verdict == "noise"
    sure = compare(samples.bert(), samples.bert(60.0))
    assert found.modules[0].noise_ms > sure.modules[0].noise_ms


def test_too_few_calls_make_no_interval():
    once = replace(samples.bert(), latency=samples.latency(111.3, repeats=1, low_ms=111.3, high_ms=111.3))
    found = compare(once, samples.bert(95.0))
    assert found.latency.verdict == "noise"
    assert not found.latency.sure
    assert any("too few for an interval" in caveat for caveat in found.caveats)
    assert compare(once, samples.bert(30.0)).latency.verdict == "faster"


def test_one_slow_layer_stands_out():
    usual = {f"block.{i}": ("Linear", 10.0) for i in range(8)}
    found = compare(report_of(usual), report_of({**usual, "block.3": ("Linear", 40.0)}))
    assert [row.name for row in found.modules if row.status == "slower"] == ["block.3"]
    assert found.modules[0].share == pytest.approx(0.95, abs=0.03)
    assert found.latency.verdict == "slower"


def test_what_slows_all_parts_alike_is_called_so():
    usual = {"a": ("Linear", 10.0), "b": ("Conv2d", 20.0), "c": ("LSTM", 30.0)}
    found = compare(report_of(usual), report_of(usual, median=100.0))
    assert found.findings[0].kind == "alike"
    one = compare(report_of(usual), report_of({**usual, "c": ("LSTM", 70.0)}))
    assert "alike" not in [finding.kind for finding in one.findings]


# The steps of a session


def test_the_steps_own_timing_counts_when_the_machine_changed_its_speed():
    # GIVEN a machine that has become six times slower between two reports
    now = replace(samples.bert_after(), latency=samples.latency(160.0))
    # WHEN they are compared
    found = compare(samples.bert(), now)
    # THEN what was timed side by side is believed, and the times are of one speed
    assert found.latency.verdict == "faster"
    assert found.latency.drifted
    assert found.latency.speedup.median == 4.2
    assert found.latency.measured.median == pytest.approx(111.3 / 160)
    assert found.latency.before_ms == pytest.approx(160 * 4.2)
    assert any("another speed" in caveat for caveat in found.caveats)


def test_steps_that_both_carry_explain_nothing():
    found = compare(samples.bert_after(), replace(samples.bert_after(), latency=samples.latency(60.0)))
    assert found.latency.basis == "measured"
    assert found.latency.verdict == "slower"
    assert found.steps_added == ()


def test_steps_of_another_session_explain_nothing():
    other = replace(samples.bert(), history=(samples.step("bf16", "Use bfloat16", took_s=3.3),))
    assert compare(other, samples.bert_after()).latency.basis == "measured"


def test_a_step_that_was_not_timed_explains_nothing():
    untimed = replace(samples.bert_after(), history=(samples.step(speedup=None),))
    found = compare(samples.bert(), untimed)
    assert found.latency.basis == "measured"
    assert found.steps_added == ("Quantize to int8",)


def test_noise_of_a_pair_is_noise():
    steps = (samples.step(speedup=Interval(low=0.97, median=1.03, high=1.08)),)
    assert compare(samples.bert(), replace(samples.bert_after(), history=steps)).latency.verdict == "noise"


# What to mind


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        (
            "environment",
            {"cpu_model": "Apple M4"},
            "the CPU was Intel(R) Xeon(R) Platinum 8488C before, and Apple M4",
        ),
        ("environment", {"threads": 8}, "number of torch's threads was 2 before, and 8 after"),
        ("environment", {"torch": "2.14.0"}, "torch version was 2.13.0 before"),
        ("workload", {"batch_size": 16}, "batch size was 8 before, and 16 after"),
        ("workload", {"training": True}, "mode was eval before, and training after"),
        ("workload", {"grad": True}, "tracking of gradients was off before"),
        ("workload", {"autocast": "cpu bfloat16"}, "autocast was off before"),
        ("workload", {"replayed": False}, "of replayed calls before, and of the cell's own run after"),
        ("workload", {"inputs": ()}, "shape of the inputs was input_ids [8, 128]"),
        ("workload", {"dtype": "bfloat16"}, "dtype of the weights was float32 before"),
        ("workload", {"model": "Other"}, "model's class was BertModel before"),
    ],
)
def test_what_is_not_alike_is_told(part, changes, words):
    report = samples.bert()
    found = compare(report, replace(report, **{part: replace(getattr(report, part), **changes)}))
    assert not found.like_for_like
    assert any(words in caveat for caveat in found.caveats)


def test_an_idle_gpu_makes_no_difference():
    report = samples.bert()
    other = replace(report.environment, gpus=(*samples.hostile().environment.gpus,))
    assert compare(report, replace(report, environment=other)).like_for_like


def test_a_steps_own_change_of_the_dtype_is_nothing_to_mind():
    report = samples.bert_after()
    after = replace(report, workload=replace(report.workload, dtype="bfloat16"))
    assert compare(samples.bert(), after).like_for_like


# What is missing


def test_what_was_not_measured_is_not_gone():
    found = compare(samples.bert(), samples.unknown())
    assert found.latency.verdict == "unknown"
    assert "the timer was interrupted" in found.latency.reason
    assert (found.groups, found.ops, found.modules, found.lines) == ((), (), (), ())
    assert {size.status for size in found.sizes} == {"unknown"}
    assert any("another profiler holds the trace" in caveat for caveat in found.caveats)
    assert found.lines_reason == "the report after has none"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300, None])
def test_impossible_figures_count_as_unknown(bad):
    report = samples.bert()
    broken = replace(
        report,
        latency=samples.latency(median_ms=bad, low_ms=bad, high_ms=bad),
        trace=replace(report.trace, call_ms=bad, calls=-3),
        ops=tuple(replace(op, self_ms=bad or 0.0, calls=bad or 0.0) for op in report.ops),
        modules=tuple(replace(row, self_ms=bad or 0.0, total_ms=bad or 0.0) for row in report.modules),
        lines=tuple(replace(line, ms=bad or 0.0) for line in report.lines),
        history=(samples.step(speedup=Interval(low=bad or 0.0, median=bad or 0.0, high=bad or 0.0)),),
    )
    for found in (compare(report, broken), compare(broken, report), compare(broken, broken)):
        assert found.latency.verdict == "unknown"
        for row in rows(found):
            figures = (row.before_ms, row.after_ms, row.delta_ms, row.share, row.noise_ms)
            assert all(value is None or math.isfinite(value) for value in figures)


def test_duplicate_rows_are_summed():
    report = samples.bert()
    twice = replace(report, ops=report.ops * 2, modules=report.modules * 2, lines=report.lines * 2)
    for found in (compare(report, twice), compare(twice, report)):
        assert len(found.op_rows) == len({(op.name, op.module) for op in report.ops})
        assert len(found.modules) == len(report.modules)


# Which module is which


def test_a_wrapped_model_is_the_same_model():
    inside = {"": ("Net", 0.1), "a": ("Linear", 5.0), "b": ("ReLU", 1.0), "b.c": ("Linear", 3.0)}
    outside = {"": ("OptimizedModule", 0.1), "_orig_mod": ("Net", 0.1)}
    outside |= {f"_orig_mod.{path}": value for path, value in inside.items() if path}
    there = compare(report_of(inside), report_of(outside))
    row = next(row for row in there.modules if row.path_before == "a")
    assert row.name == "_orig_mod.a"
    assert row.status == "noise"
    assert len(there.modules) == 4
    assert "new" not in {row.status for row in rows(there)}
    back = compare(report_of(outside), report_of(inside))
    assert {(row.path_before, row.name) for row in back.modules} >= {
        ("_orig_mod.a", "a"),
        ("_orig_mod.b.c", "b.c"),
    }


def test_a_model_of_other_names_is_not_taken_for_a_wrapped_one():
    found = compare(
        report_of({"": ("Net", 0.1), "a": ("Linear", 5.0), "b": ("Linear", 5.0)}),
        report_of({"": ("Net", 0.1), "x.a": ("Conv2d", 5.0), "x.b": ("Conv2d", 5.0), "x": ("Block", 0.0)}),
    )
    assert {row.path_before for row in found.modules if row.status == "gone"} == {"a", "b"}


def test_what_is_inside_of_a_former_layer_is_that_layer():
    before = {"": ("Net", 0.1), "fc": ("Linear", 10.0), "act": ("ReLU", 1.0)}
    after = {"": ("Net", 0.1), "fc": ("Wrapped", 0.5), "fc.inner": ("Packed", 3.0), "act": ("ReLU", 1.0)}
    found = compare(report_of(before), report_of(after))
    row = next(row for row in found.modules if row.name == "fc")
    assert (row.class_before, row.class_after) == ("Linear", "Wrapped")
    assert row.after_ms == pytest.approx(3.5, rel=0.1)
    assert [group.name for group in found.groups if group.class_before == "Linear"] == ["1 Linear -> Wrapped"]
    back = compare(report_of(after), report_of(before))
    assert [group.name for group in back.groups if group.class_after == "Linear"] == ["1 Wrapped -> Linear"]


def test_new_layers_are_new_and_gone_ones_gone():
    before = {"": ("Net", 0.1), "a": ("Linear", 10.0), "b": ("Linear", 10.0)}
    after = {"": ("Net", 0.1), "a": ("Linear", 10.0), "c": ("Conv2d", 10.0)}
    found = compare(report_of(before), report_of(after))
    assert {(row.name, row.status) for row in found.modules if row.status != "noise"} == {
        ("b", "gone"),
        ("c", "new"),
    }


# Which line is which


@pytest.mark.parametrize(
    ("before", "after", "matched"),
    [
        (("this cell", 3, "y = f(x)"), ("this cell", 9, "y = f(x)"), True),
        (("cell [4]", 3, "y = f(x)"), ("cell [7]", 3, "    y = f(x)"), True),
        (("this cell", 3, "y = model(x, mask)"), ("this cell", 3, "y = model(x, mask=None)"), True),
        (("this cell", 3, "y = model(x, mask)"), ("this cell", 3, "plot(results)"), False),
        (("this cell", 3, "y = model(x, mask)"), ("this cell", 4, "y = model(x, mask=None)"), False),
    ],
)
def test_lines_are_known_by_their_text_then_by_their_place(before, after, matched):
    found = compare(with_lines((*before, 50.0)), with_lines((*after, 10.0)))
    assert len(found.lines) == (1 if matched else 2)
    assert {row.status for row in found.lines} == ({"faster"} if matched else {"new", "gone"})


def test_equal_lines_are_paired_in_order():
    text = "x = step(x)"
    found = compare(
        with_lines(("this cell", 1, text, 30.0), ("this cell", 2, text, 60.0)),
        with_lines(("this cell", 2, text, 60.0), ("this cell", 3, text, 30.0)),
    )
    assert {(row.place_before, row.name) for row in found.lines} == {
        ("this cell:2", "this cell:2"), ("this cell:1", "this cell:3"),
    }  # fmt: skip


def test_lines_of_one_run_tell_nothing_of_a_change():
    assert "same run" in (compare(samples.bert(), samples.bert_after()).lines_reason or "")


def test_small_ops_outside_layers_are_one_group():
    names = [group.name for group in compare(samples.bert(), samples.bert_after()).groups]
    assert names.count(OTHER) == 1
    assert names[0] == "36 Linear -> DynamicQuantizedLinear"


def test_a_huge_report_is_compared_at_once():
    import time

    began = time.perf_counter()
    found = compare(samples.bert(), samples.huge())
    assert time.perf_counter() - began < 5
    assert len(found.op_rows) > 2000
