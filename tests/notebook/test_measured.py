"""The face with the real engine and a real model: what a user does, and what bad input gets."""

from __future__ import annotations

import html
import re

import pytest

from jupyter_optim.report import MIME_TYPE as REPORT

MODEL = """\
%load_ext jupyter_optim
import torch
from torch import nn
torch.manual_seed(0)

class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU())
        self.head = nn.Linear(1024, 10)

    def forward(self, x):
        return self.head(self.body(x))

model = Classifier().eval()
images = torch.randn(64, 256)
"""
CELL = "%%optimize --into session\nwith torch.no_grad():\n    scores = model(images)\nscores.shape"
WEIGHTS = (
    "[(name, each.data_ptr(), each._version) for name, each in model.state_dict(keep_vars=True).items()]"
)


@pytest.fixture(scope="module")
def notebook(new_notebook):
    started = new_notebook()
    ran = started.run(MODEL)
    assert not ran.failed, ran.outputs
    started.first = started.run(CELL)
    return started


def test_the_first_run_shows_result_report_and_controls(notebook):
    ran = notebook.first
    assert not ran.failed
    assert ran.result == "torch.Size([64, 10])"
    report = ran.displays(REPORT)[0]
    assert report["workload"]["model"] == "Classifier"
    assert report["cell"].startswith("%%optimize --into session\n")
    assert "Classifier" in ran.html
    assert not ran.stream("stderr")
    assert not ran.printed


def test_a_click_gives_a_verdict_that_undo_takes_back(notebook):
    # GIVEN the model's answers
    notebook.run(f"panel = session.panel\nbefore = {WEIGHTS}\nwith torch.no_grad(): answers = model(images)")
    # WHEN it is quantized by a click
    ran = notebook.run("panel.buttons['int8-dynamic'].click()\npanel.wait()\nprint(panel.said)")
    # THEN there is a verdict, nothing of the work was printed, and the first cell's report has the step
    assert ran.printed.startswith("Quantize to int8: ")
    assert "95% CI" in ran.printed
    assert ran.printed.count("\n") == 1
    assert not ran.stream("stderr")
    assert [len(each["history"]) for each in notebook.first.displays(REPORT)] == [1]
    # and Undo restores the model to the bit
    notebook.run("panel.buttons['undo'].click(); panel.wait()")
    same = notebook.run(
        f"with torch.no_grad(): again = model(images)\nbool((again == answers).all()), {WEIGHTS} == before"
    )
    assert same.result == "(True, True)"


def test_what_changed_names_layers_ops_memory_and_noise(notebook):
    # GIVEN a change that stands
    notebook.run("session.apply('int8-dynamic', keep='always');")
    # WHEN it is looked into
    told = html.unescape(notebook.run("print(session.panel._changes.value)").printed)
    # THEN one sentence says what became of the layers, and the rest is folded
    assert re.search(r"<summary><strong>What changed:</strong> 3 Linear layers became \w+: ", told)
    assert "<code>Linear -> " in told
    assert "<code>aten::addmm</code>" in told or "Ops" not in told
    assert "Within noise: " in told
    # what the steps tell already is not told again
    assert "Weights" not in told
    assert "95% CI" not in told
    notebook.run("session.reset();")
    assert notebook.run("print(session.panel._changes.value)").printed == "\n"


def test_the_trace_may_go_into_a_log_folder(notebook):
    notebook.run("%%optimize --quiet --trace logs/\nwith torch.no_grad(): model(images);")
    assert notebook.run("import os; print(*os.listdir('logs'))").printed.endswith(".pt.trace.json.gz\n")


def test_a_trace_that_could_not_be_made_is_told(notebook):
    notebook.run(
        "class Once(nn.Linear):\n    used = False\n    def forward(self, x):\n"
        "        if self.used: raise RuntimeError('only once')\n"
        "        self.used = True\n        return super().forward(x)\nonce = Once(4, 4)"
    )
    ran = notebook.run("%%optimize --trace once.json\nonce(torch.ones(1, 4));")
    assert not ran.failed
    assert "No trace was written" in ran.plain
    assert "only once" in ran.plain
    assert notebook.run("os.path.exists('once.json')").result == "False"


def test_what_does_not_apply_says_why(notebook):
    tooltip = notebook.run(
        "button = session.panel.buttons['channels-last']\nprint(button.disabled, button.tooltip)"
    )
    assert tooltip.printed.startswith("True ")
    assert "does not apply" in tooltip.printed
    notebook.run("session.panel.buttons['channels-last'].click(); session.panel.wait()")
    assert "does not apply" in notebook.run("print(session.panel.said)").printed


def test_running_the_cell_again_goes_on_with_the_session(notebook):
    notebook.run("first = session; panel = session.panel")
    again = notebook.run(CELL)
    assert notebook.run("session is first, session.panel is panel").result == "(True, False)"
    # what the former panel shows would be of another run
    assert "below the cell that measured it last" in notebook.run("panel._root.children[0].value").result
    assert len(again.displays(REPORT)[0]["history"]) == len(notebook.first.displays(REPORT)[0]["history"])


def test_an_expression_is_measured(notebook):
    ran = notebook.run("%optimize --into measured model(images)")
    assert not ran.failed
    assert ran.displays(REPORT)[0]["workload"]["expression"] == "model(images)"


def test_save_and_trace_write_files(notebook):
    notebook.run("%%optimize --quiet --save report.html --trace trace.json\nmodel(images);")
    assert "Classifier" in notebook.run("print(open('report.html').read())").printed
    assert "traceEvents" in notebook.run("print(open('trace.json').read()[:100_000])").printed


def test_a_cell_that_calls_no_model_says_what_to_do(notebook):
    ran = notebook.run("%%optimize\nstands = 3\nstands")
    assert not ran.failed
    assert ran.result == "3"
    assert "%optimize model(x)" in ran.html
    assert "%optimize model(x)" in ran.plain


def test_a_cell_that_raises_is_not_measured(notebook):
    ran = notebook.run("%%optimize\nmodel(images)\nmodel(torch.ones(3, 3))")
    assert ran.failed
    assert len(ran.tracebacks) == 1
    assert "line 3" in ran.tracebacks[0]
    assert not ran.displays("text/html")


@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        ("lambda model: {}['missing']", "KeyError"),
        ("lambda model: float('nan')", "nan"),
        ("lambda model: 'good'", "str"),
        ("lambda model: 0.5", "model"),
    ],
)
def test_a_bad_evaluate_is_named_and_nothing_is_applied(notebook, evaluate, said):
    notebook.run(f"judge = {evaluate}")
    notebook.run("%%optimize --quiet --evaluate judge --into judged\nwith torch.no_grad(): model(images)")
    notebook.run(f"steps = len([each for each in judged.history if each.accepted])\nbefore = {WEIGHTS}")
    ran = notebook.run("judged.panel.buttons['bf16'].click(); judged.panel.wait(); print(judged.panel.said)")
    assert "evaluate" in ran.printed
    assert said in ran.printed
    left = notebook.run(
        f"len([each for each in judged.history if each.accepted]) == steps, {WEIGHTS} == before"
    )
    assert left.result == "(True, True)"


def test_an_interrupt_while_measuring_leaves_results_and_model(notebook):
    notebook.run(f"before = {WEIGHTS}")
    notebook.run(
        "import time\nclass Slow(nn.Linear):\n    def forward(self, x):\n        time.sleep(0.3)\n        return super().forward(x)\nslow = Slow(4, 4)"
    )
    ran = notebook.run("%%optimize\nanswer = slow(torch.ones(1, 4))\nanswer.shape", interrupt_after_s=1.5)
    assert not ran.failed
    assert ran.result == "torch.Size([1, 4])"
    assert "Interrupted" in ran.plain
    assert (
        notebook.run("type(slow).__name__, slow.training, len(slow._forward_hooks)").result
        == "('Slow', True, 0)"
    )


def test_cancel_leaves_the_model_as_it_was(notebook):
    notebook.run(CELL)
    ran = notebook.run(
        f"before = {WEIGHTS}\npanel = session.panel\npanel.buttons['prune-structured'].click(); time.sleep(0.1)\n"
        f"panel.buttons['cancel'].click(); print(panel.wait(20)); print(panel.said)\nprint({WEIGHTS} == before)"
    )
    assert ran.printed.splitlines() == ["True", "Cancelled: the model is as it was before.", "True"]


def test_trained_by_the_cell_it_is_measured_in_train_mode(notebook):
    ran = notebook.run(
        "%%optimize --into trained\nlearner = Classifier().train()\nloss = learner(images).sum()\nloss.backward()"
    )
    assert not ran.failed
    assert ran.displays(REPORT)[0]["workload"]["training"] is True
    assert notebook.run("trained.model is learner").result == "True"


def test_a_cell_that_runs_meanwhile_sees_the_model_before_or_after(notebook):
    notebook.run(f"{CELL}\n")
    ran = notebook.run(
        "panel = session.panel; panel.buttons['reset'].click(); panel.wait()\nseen = []\n"
        "with torch.no_grad():\n"
        "    before = model(images)\n"
        "    panel.buttons['int8-dynamic'].click()\n"
        "    while panel.busy: seen.append(model(images))\n"
        "    after = model(images)\n"
        "print(all(bool((each == before).all() or (each == after).all()) for each in seen), len(seen) > 0)"
    )
    assert ran.printed == "True True\n"


def test_to_show_the_last_value_is_no_work_of_its_line(new_notebook):
    notebook = new_notebook()
    assert not notebook.run(MODEL).failed
    notebook.run(
        "import time\nclass Slow:\n    def __repr__(self):\n        time.sleep(0.2)\n        return 'shown'\n"
        "slow = Slow()"
    )
    ran = notebook.run("%%optimize\nwith torch.no_grad():\n    scores = model(images)\nslow")
    assert not ran.failed
    assert ran.result == "shown"
    own = [line for line in ran.displays(REPORT)[0]["lines"] if line["source"] == "this cell"]
    assert own
    assert not [line["text"] for line in own if line["ms"] > 100]


def test_a_quiet_measurement_leaves_the_report_of_an_earlier_cell(notebook):
    notebook.run("import jupyter_optim as jo\njo.current().reset()")
    shown = notebook.run(CELL)
    number = len(notebook._client.nb.cells) - 1
    ran = notebook.run("%%optimize --quiet\nwith torch.no_grad():\n    few = model(images[:2])")
    assert "Classifier" in ran.plain
    assert not ran.displays(REPORT)
    # nor does a change that comes after it get into that report
    changed = notebook.run("jo.current().apply('bf16', keep='always').accepted")
    assert changed.result == "True"
    (report,) = notebook.outputs_of(number).displays(REPORT)
    assert report["workload"] == shown.displays(REPORT)[0]["workload"]
    assert report["workload"]["batch_size"] == 64
    assert report["history"] == shown.displays(REPORT)[0]["history"]
    notebook.run("jo.current().reset()")


def test_a_tensor_from_before_that_the_cell_frees_is_no_reason_to_warn(notebook):
    ran = notebook.run("%%optimize\nimages = images + 1\nwith torch.no_grad():\n    scores = model(images)")
    assert not ran.failed
    assert not ran.stream("stderr")
