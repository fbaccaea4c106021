"""What the magic does with what it is asked, and what bad input gets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from jupyter_optim.report import MIME_TYPE as REPORT

WIDGET = "application/vnd.jupyter.widget-view+json"


def test_shows_the_report_and_apart_from_it_the_controls(faked):
    ran = faked.run("%%optimize net\nnet(x)")
    displayed = [each.data for each in ran.outputs if each.output_type == "display_data"]
    assert [REPORT in data for data in displayed] == [True, False]
    assert [WIDGET in data for data in displayed] == [False, True]
    assert "text/html" in displayed[0]
    assert "running kernel" in displayed[1]["text/html"]
    assert "Measuring" not in ran.html


def test_the_report_is_there_while_what_would_help_is_predicted(faked):
    # GIVEN a session that says what its cell shows when it predicts
    faked.run(
        "from jupyter_optim.session import Session\n"
        "shown, publish = [], get_ipython().display_pub.publish\n"
        "def watched(data, *args, **named):\n"
        "    shown.append('report' if any('report' in kind for kind in data) else data.get('text/plain', ''))\n"
        "    return publish(data, *args, **named)\n"
        "get_ipython().display_pub.publish = watched\n"
        "predict = Session.predict\n"
        "def interrupted(self, progress=None):\n"
        "    progress.report('bf16', 0.5)\n"
        "    shown.append('interrupted')\n"
        "    raise KeyboardInterrupt\n"
        "Session.predict = interrupted"
    )
    # WHEN that is interrupted
    ran = faked.run("%%optimize net\nnet(x)")
    faked.run("get_ipython().display_pub.publish, Session.predict = publish, predict")
    # THEN the report stood there before, and stands with its controls after it
    told = eval(faked.run("shown").result)
    at = told.index("interrupted")
    assert told[at - 2] == "report"
    assert told[at - 1].startswith("bf16 50% ... interrupt the kernel")
    assert "report" in told[at:]
    assert not ran.failed
    assert [REPORT in each.data for each in ran.outputs if each.output_type == "display_data"] == [
        True,
        False,
    ]
    assert WIDGET in ran.outputs[-1].data


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nett", "The model nett: name 'nett' is not defined. Defined before this cell: net."),
        ("x", "x is a Tensor, not a torch.nn.Module."),
        ("nn.Linear", "nn.Linear is a class of models; give a model made from it."),
        ("net.encoder", "'Sequential' object has no attribute 'encoder'"),
        ("--evaluate x", "--evaluate x is a Tensor, not a function of the model."),
        ("--train x", "--train x is a Tensor, not a function of the model."),
        (
            "--calibration accuracy",
            "--calibration accuracy is a function, not an iterable of inputs: give a list",
        ),
        ("--evaluate acuracy", "name 'acuracy' is not defined. Defined before this cell: accuracy"),
        ("--max-drop lots", "give a number such as 0.01"),
        ("--gaol size", "did you mean --goal?"),
        ("--save r.pdf", "must end in"),
    ],
)
def test_refuses_bad_input_before_the_body_runs(faked, line, said):
    faked.run("def accuracy(model): return 1.0\nran_it = False")
    ran = faked.run(f"%%optimize {line}\nran_it = True")
    # an error for the front end, so that *Run All* stops, in one line and without a traceback
    assert ran.failed
    assert not ran.tracebacks
    assert said in ran.stream("stderr")
    assert ran.stream("stderr").count("\n") == 1
    assert faked.run("ran_it").result == "False"


def test_model_and_functions_of_it_may_be_bound_anew_by_the_body(faked):
    faked.run("%%optimize net --evaluate net.forward --train net.forward --into kept\nnet = nn.Linear(2, 2)")
    asked = "kept.model is net, kept.evaluate == net.forward, kept.train == net.forward"
    assert faked.run(asked).result == "(True, True, True)"


def test_train_reaches_the_session_of_an_expression(faked):
    faked.run("def fit(model): pass")
    faked.run("%optimize --train fit --into kept net(x)")
    assert faked.run("kept.train is fit").result == "True"


def test_calibration_reaches_the_session_as_the_body_left_it(faked):
    faked.run("batches = []")
    faked.run("%%optimize --calibration batches --into kept\nbatches = [x, x]\nnet(x)")
    assert faked.run("kept.calibration is batches, len(batches)").result == "(True, 2)"
    faked.run("%optimize --calibration batches[:1] --into kept net(x)")
    assert faked.run("len(kept.calibration)").result == "1"


def test_options_reach_the_session(faked):
    faked.run("%%optimize --max-drop 2% --goal memory --into kept\nnet(x)")
    assert faked.run("kept.max_drop, kept.goal").result == "('2%', 'memory')"


def test_expression_is_measured_with_the_variables_of_its_place(faked):
    faked.run(
        "def inside(local):\n    get_ipython().run_line_magic('optimize', '--quiet net(local)')\ninside(x)"
    )
    assert faked.run("Watch.sessions[0].expression").result == "'net(local)'"
    ran = faked.run("%optimize --max-drop 1% net(torch.ones(1, 2, **{'dtype': None}))")
    assert ran.displays(REPORT)
    assert faked.run("Watch.sessions[0].expression").result == "\"net(torch.ones(1, 2, **{'dtype': None}))\""


def test_quiet_shows_the_headline_only(faked):
    ran = faked.run("%%optimize --quiet\nnet(x)")
    assert len(ran.displays("text/plain")) == 1
    assert "\n" not in ran.plain
    assert "Net" in ran.plain
    assert not ran.displays(REPORT)
    assert not ran.displays(WIDGET)


def test_save_writes_the_report(faked):
    faked.run("%%optimize --quiet --save report.json\nnet(x)")
    saved = faked.run("print(open('report.json').read())").printed
    assert json.loads(saved)["workload"]["model"] == "Net"


def test_a_file_that_cannot_be_written_costs_no_report(faked):
    faked.run("import os; os.makedirs('taken.json', exist_ok=True)")
    ran = faked.run("%%optimize --save taken.json --into kept\nstands = 5")
    assert not ran.failed
    assert ran.displays(REPORT)
    assert "taken.json" in ran.plain
    assert faked.run("stands").result == "5"


def test_an_expression_that_raises_is_shown_as_the_users_error(faked):
    ran = faked.run("%optimize net(x) / {}['missing']")
    assert ran.failed
    assert len(ran.tracebacks) == 1
    assert "KeyError: 'missing'" in ran.tracebacks[0]
    assert "outcome.py" in ran.tracebacks[0]
    assert "fake_engine" not in ran.tracebacks[0]
    assert not ran.plain.strip()


def test_what_is_no_expression_is_refused(faked):
    ran = faked.run("%optimize net(x")
    assert ran.failed
    assert "net(x is not a Python expression: '(' was never closed." in ran.stream("stderr")


def test_help_is_shown_and_nothing_runs(faked):
    faked.run("ran_it = False")
    shown = faked.run("%%optimize --help\nran_it = True").printed
    assert "--max-drop" in shown
    assert faked.run("%optimize -h").printed == shown
    assert faked.run("ran_it").result == "False"


@pytest.fixture
def watched(faked):
    """Lets a test say what the engine does; takes it back afterwards."""
    yield faked
    faked.run("nothing = staticmethod(lambda: None)\nWatch.before = Watch.after = Watch.during = nothing")


def test_a_cell_without_a_model_gets_a_card(watched):
    watched.run(
        "from jupyter_optim.errors import NoModelCalled\n"
        "Watch.during = staticmethod(lambda: fail(NoModelCalled('No model was called. Call one in this cell.')))"
    )
    ran = watched.run("%%optimize\nstands = 6\nstands")
    assert not ran.failed
    assert ran.result == "6"
    assert len(ran.displays("text/html")) == 1
    assert "No model was called. Call one in this cell." in ran.html
    assert "No model was called. Call one in this cell." in ran.plain


@pytest.mark.parametrize("moment", ["before", "after", "during"])
def test_a_fault_of_ours_costs_the_cell_nothing(watched, moment):
    watched.run(f"count = 0\nWatch.{moment} = staticmethod(lambda: 1/0)")
    ran = watched.run("%%optimize\ncount += 1\ncount")
    assert not ran.failed
    assert ran.result == "1"
    assert "ZeroDivisionError: division by zero" in ran.html
    assert "<details>" in ran.html
    assert "results stand" in ran.plain


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_body_that_raises_is_shown_once_whatever_else_fails(watched, moment):
    watched.run(f"Watch.{moment} = staticmethod(lambda: fail(OSError('ours')))")
    ran = watched.run("%%optimize\n{}['theirs']")
    assert ran.failed
    assert ["KeyError" in text for text in ran.tracebacks] == [True]


def test_busy_is_refused_before_the_body_runs(watched):
    watched.run(
        "from jupyter_optim.errors import Busy\nran_it = False\n"
        "Watch.before = staticmethod(lambda: fail(Busy('Busy with int8-dynamic.')))"
    )
    ran = watched.run("%%optimize\nran_it = True")
    assert ran.failed
    assert "Busy with int8-dynamic." in ran.stream("stderr")
    assert watched.run("ran_it").result == "False"


def test_an_interrupt_while_measuring_leaves_the_cells_results(watched):
    watched.run("import time\nWatch.during = staticmethod(lambda: time.sleep(60))")
    ran = watched.run("%%optimize --into unset\nstands = 7\nstands", interrupt_after_s=1)
    assert not ran.failed
    assert ran.result == "7"
    assert "Interrupted" in ran.plain
    assert "Measuring" not in ran.plain.split("Interrupted")[0]
    assert watched.run("stands, 'unset' in globals()").result == "(7, False)"


def test_an_interrupt_of_the_body_is_that_of_a_plain_cell(watched):
    ran = watched.run("%%optimize\nimport time\ntime.sleep(60)", interrupt_after_s=1)
    assert ran.failed
    assert "KeyboardInterrupt" in ran.tracebacks[0]
    assert "line 3" in ran.tracebacks[0]
    assert not ran.displays("text/html")


def test_progress_is_replaced_by_the_report(watched):
    watched.run("seen_ids = []\npublish = get_ipython().display_pub.publish")
    watched.run(
        "def record(**kw):\n"
        "    seen_ids.append((kw['transient'].get('display_id'), kw['update'], kw['data'].get('text/plain', '')[:14]))\n"
        "    return publish(**kw)\n"
        "get_ipython().display_pub.publish = record"
    )
    watched.run("%%optimize --quiet\nnet(x)")
    watched.run("get_ipython().display_pub.publish = publish")
    shown = watched.run("print([each[1:] for each in seen_ids], len({each[0] for each in seen_ids}))").printed
    assert "(False, 'Measuring the ')" in shown
    assert "(True, 'Net" in shown or "(True, '`Net" in shown
    assert shown.endswith("] 1\n")


def test_loading_is_light(new_notebook):
    notebook = new_notebook()
    notebook.run("import sys\n%load_ext jupyter_optim.notebook.magic")
    heavy = notebook.run("[name for name in ('torch', 'matplotlib', 'ipywidgets') if name in sys.modules]")
    assert heavy.result == "[]"


def test_unloading_takes_everything_back(new_notebook):
    notebook = new_notebook()
    notebook.run(
        "events = get_ipython().events.callbacks\n"
        "before = {name: list(found) for name, found in events.items()}\n"
        "%load_ext jupyter_optim.notebook.magic"
    )
    notebook.run("%reload_ext jupyter_optim.notebook.magic")
    notebook.run("%unload_ext jupyter_optim.notebook.magic")
    assert notebook.run("{name: list(found) for name, found in events.items()} == before").result == "True"
    assert "not found" in notebook.run("%%optimize\n1").stream("stderr")


def test_a_terminal_gets_text_and_a_hint(tmp_path):
    script = tmp_path / "session.ipy"
    script.write_text("")
    here = str(__file__).rsplit("/", 1)[0]
    program = (
        f"import sys; sys.path.insert(0, {here!r}); import fake_engine; fake_engine.install()\n"
        "from IPython.terminal.interactiveshell import TerminalInteractiveShell as Shell\n"
        "shell = Shell.instance(simple_prompt=True, colors='nocolor')\n"
        "shell.run_line_magic('load_ext', 'jupyter_optim.notebook.magic')\n"
        "shell.run_cell('%%optimize\\nprint(1)\\n6 * 7', store_history=True)\n"
        "shell.run_cell('%%optimize\\n1/0', store_history=True)\n"
        "print(shell.last_execution_succeeded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert "42" in done.stdout
    assert "Net" in done.stdout
    assert "session.apply('int8-dynamic')" in done.stdout
    assert "Measuring" not in done.stdout
    assert "line 2" in done.stdout
    assert done.stdout.rstrip().endswith("False"), done.stderr
