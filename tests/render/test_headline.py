from __future__ import annotations

import msgspec

from jupyter_optim.render import to_html
from jupyter_optim.render.headline import gain, headline
from jupyter_optim.report import Gpu, Interval, Report
from tests.render import samples


def with_steps(*steps: object) -> Report:
    return msgspec.structs.replace(samples.bert_after(), history=steps)


def test_it_says_how_long_how_sure_and_where():
    assert headline(samples.bert()) == (
        "`BertModel` takes 111 ms (95% CI 109 to 114) on 2 CPU threads; 79% of it in 36 `Linear` layers."
    )


def test_after_a_change_it_says_how_much_better():
    words = headline(samples.bert_after(), samples.bert())
    assert "4.2x faster than at first (95% CI 4.0 to 4.4) and 62% smaller" in words


def test_undone_and_rejected_steps_are_no_gain():
    report = with_steps(samples.step(undone=True), samples.step(accepted=False))
    assert gain(report) is None
    assert "at first" not in headline(report)


def test_steps_multiply():
    found = gain(with_steps(samples.step(), samples.step(speedup=Interval(low=1.4, median=1.5, high=1.6))))
    assert found is not None
    assert found.speedup is not None
    assert round(found.speedup.median, 6) == 6.3


def test_noise_is_not_sold_as_a_gain():
    kept = samples.step(speedup=Interval(low=0.96, median=1.05, high=1.1), size_ratio=1.0)
    assert "no faster than at first" in headline(with_steps(kept))
    slower = samples.step(speedup=Interval(low=0.4, median=0.5, high=0.6), size_ratio=None)
    assert "2.0x slower than at first (95% CI 1.7 to 2.5)" in headline(with_steps(slower))


def test_without_a_timing_it_says_why():
    assert headline(samples.unknown()) == "`BertModel` could not be timed: the timer was interrupted."


def test_a_bare_layer_needs_no_place():
    assert headline(samples.tiny()) == "`Linear` takes 13.7 µs (95% CI 13.5 to 14.0) on 2 CPU threads."


def test_a_gpu_goes_by_its_name():
    report = samples.bert()
    gpu = Gpu(index=0, name="NVIDIA H200", uuid=None, memory_bytes=None, driver=None)
    report = msgspec.structs.replace(
        report,
        environment=msgspec.structs.replace(report.environment, gpus=(gpu,)),
        workload=msgspec.structs.replace(report.workload, device="cuda:0"),
    )
    assert "on NVIDIA H200;" in headline(report)


def test_an_expression_is_called_what_the_user_called_it():
    report = samples.bert()
    work = msgspec.structs.replace(report.workload, origin="expression", expression="model.generate(ids)")
    assert headline(msgspec.structs.replace(report, workload=work)).startswith("`model.generate(ids)` takes")


def test_when_the_machine_changed_its_speed_the_steps_own_timing_counts():
    # GIVEN a report of a machine that has become six times slower since the first one
    now = msgspec.structs.replace(samples.bert_after(), latency=samples.latency(160.0))
    # WHEN both are compared
    found = gain(now, samples.bert())
    # THEN it is no slow-down: step and predecessor were timed side by side
    assert found is not None
    assert found.before_ms == 160.0 * 4.2
    assert "4.2x faster than at first" in headline(now, samples.bert())
    assert "672 ms, by the timing side by side" in to_html(now, samples.bert(), figure=False)
