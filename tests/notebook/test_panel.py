"""The controls below a report, driven from cells as a script would drive them."""

from __future__ import annotations

import re

import pytest

from jupyter_optim.report import MIME_TYPE as REPORT


@pytest.fixture
def panel(faked):
    """A fresh session's panel, called ``panel``, in a notebook; its report stands below cell `faked.shown`."""
    ran = faked.run("%%optimize --into session\nnet(x)")
    assert not ran.failed
    faked.shown = ran
    faked.run("panel = session.panel\nbuttons = panel.buttons")
    return faked


def _press(notebook, *names):
    for name in names:
        said = notebook.run(f"buttons[{name!r}].click(); panel.wait(60)\nprint(panel.said)")
        assert not said.failed, said.outputs
    return said.printed.strip()


def test_has_a_button_for_every_technique_and_every_way_back(panel):
    names = panel.run("sorted(buttons)").result
    for name in (
        "int8-dynamic",
        "bf16",
        "prune-structured",
        "compile",
        "undo",
        "redo",
        "reset",
        "cancel",
        "keep-anyway",
        "tensorboard",
        "tensorboard-stop",
    ):
        assert f"'{name}'" in names
    assert panel.run("buttons['int8-dynamic'].description").result == "'Quantize to int8: predicted 4.0x'"
    assert "36 Linear layers" in panel.run("buttons['int8-dynamic'].tooltip").result


def test_a_technique_that_does_not_apply_is_disabled_and_says_why(panel):
    assert panel.run("buttons['compile'].disabled").result == "True"
    assert "no compiler" in panel.run("buttons['compile'].tooltip").result.replace(
        "none was found", "no compiler"
    )
    assert "It needs a compiler" in _press(panel, "compile")


def test_a_click_returns_at_once_and_ends_in_a_verdict(panel):
    went = panel.run(
        "import time; began = time.monotonic()\nbuttons['slow'].click()\n"
        "print(time.monotonic() - began < 0.5, panel.busy)\nprint(panel.wait(0.2), panel.wait())"
    )
    assert went.printed == "True Take long\nFalse True\n"
    assert _press(panel, "int8-dynamic") == "Quantize to int8: 4.2x faster: kept."


def test_undo_redo_and_reset_are_enabled_when_there_is_something_to_do(panel):
    state = "print(buttons['undo'].disabled, buttons['redo'].disabled, buttons['reset'].disabled)"
    assert panel.run(state).printed == "True True True\n"
    _press(panel, "int8-dynamic")
    assert panel.run(state).printed == "False True False\n"
    assert _press(panel, "undo") == "Undone: Quantize to int8."
    assert panel.run(state).printed == "True False True\n"
    assert _press(panel, "redo") == "Done again: Quantize to int8."
    assert _press(panel, "reset") == "Reset: the model is as it was at first."
    assert panel.run("session.history[0].undone").result == "True"


def test_what_was_left_out_can_be_kept_anyway(panel):
    shown = "print(buttons['keep-anyway'].layout.display)"
    assert panel.run(shown).printed == "none\n"
    assert "left out, it is slower" in _press(panel, "bf16")
    assert panel.run(shown).printed == "None\n"
    _press(panel, "keep-anyway")
    assert panel.run(shown).printed == "none\n"
    assert panel.run("[step.accepted for step in session.history]").result == "[False, True]"


def test_a_second_click_is_told_and_not_queued(panel):
    went = panel.run(
        "buttons['slow'].click(); buttons['bf16'].click(); print(panel.said)\nbuttons['undo'].click(); print(panel.said)\n"
        "buttons['cancel'].click(); print(panel.wait(5)); print(panel.said)\nprint(len(session.history))"
    ).printed.splitlines()
    assert went[0] == went[1] == "Busy with Take long; nothing was queued. Wait, or press Cancel."
    assert went[2:] == ["True", "Cancelled: the model is as it was before.", "0"]


def test_an_interrupt_of_wait_cancels_the_work(panel):
    ran = panel.run("buttons['slow'].click()\npanel.wait()", interrupt_after_s=0.5)
    assert ran.failed
    assert "KeyboardInterrupt" in ran.tracebacks[0]
    assert (
        panel.run("panel.wait(2), panel.said").result == "(True, 'Cancelled: the model is as it was before.')"
    )


def test_options_are_those_of_the_controls(panel):
    panel.run("inputs = panel._cards['prune-structured']._inputs")
    kinds = panel.run("print(*[type(each).__name__ for each in inputs.values()])").printed
    assert kinds == "BoundedFloatText BoundedIntText Dropdown Checkbox\n"
    panel.run("inputs['ratio'].value = 0.3; inputs['scope'].value = 'conv'")
    _press(panel, "prune-structured")
    options = panel.run("session.history[-1].options").result
    assert options == "{'ratio': 0.3, 'rounds': 2, 'scope': 'conv', 'recover': True}"


def test_a_fault_of_ours_ends_as_words_in_the_panel(panel):
    assert _press(panel, "broken") == "Break failed with ZeroDivisionError: a fault in the engine"
    assert "Traceback" in panel.run("panel._status._line.value").result
    assert _press(panel, "int8-dynamic").endswith("kept.")


def test_what_a_worker_prints_lands_in_no_cell(panel):
    ran = panel.run("buttons['int8-dynamic'].click(); panel.wait()\nprint('mine')")
    later = panel.run("import time; time.sleep(0.5)")
    assert ran.printed == "mine\n"
    assert not ran.stream("stderr")
    assert not later.outputs


def test_the_report_is_replaced_where_it_stands(panel):
    # GIVEN the report of the first run
    before = panel.shown.displays(REPORT)
    assert [len(each["history"]) for each in before] == [0]
    # WHEN a click, in a later cell, changes the model
    _press(panel, "int8-dynamic")
    # THEN the first cell's output shows the new report, and no cell got another
    after = panel.shown.displays(REPORT)
    assert [len(each["history"]) for each in after] == [1]
    assert after[0]["latency"]["median_ms"] == pytest.approx(25)


def test_a_change_by_code_is_followed(panel):
    _press(panel, "int8-dynamic")
    panel.run("session.undo();")
    assert panel.run("buttons['redo'].disabled").result == "False"
    assert panel.shown.displays(REPORT)[0]["history"][0]["undone"] is True


def test_history_shows_what_was_kept_undone_and_left_out(panel):
    _press(panel, "int8-dynamic", "undo", "bf16")
    table = panel.run("print(panel._history.value)").printed
    for text in (
        "Quantize to int8",
        "faster, undone",
        "slower, left out",
        "100 ms",
        "23.8 ms",
        "4.2x (4.0 to 4.4)",
        "62% smaller",
    ):
        assert text in table


def test_what_changed_is_told_while_a_change_stands(panel):
    shown = "print(panel._changes.value)"
    assert panel.run(shown).printed == "\n"
    _press(panel, "bf16")  # left out
    assert panel.run(shown).printed == "\n"
    _press(panel, "int8-dynamic")
    told = panel.run(shown).printed
    # a summary is reached by the keyboard, and is one sentence
    assert "<details" in told
    assert re.search(r"<summary><strong>What changed:</strong> [^<]*<code>Net</code>[^<]*4\.2x faster", told)
    _press(panel, "undo")
    assert panel.run(shown).printed == "\n"


def test_equivalent_source_is_offered_while_a_change_stands(panel):
    _press(panel, "int8-dynamic")
    assert "model = quantize(model)" in panel.run("print(panel._code.value)").printed
    _press(panel, "undo")
    assert "quantize(model)" not in panel.run("print(panel._code.value)").printed


def test_a_session_has_one_panel_with_the_same_buttons(panel):
    assert panel.run("session.panel is panel").result == "True"
    panel.run("kept = dict(buttons)")
    _press(panel, "int8-dynamic")
    assert panel.run("all(panel.buttons[name] is each for name, each in kept.items())").result == "True"


def test_a_panel_keeps_no_model_alive(panel):
    panel.run(
        "import gc, weakref\nlost = weakref.ref(session)\norphan = session.panel\n"
        "del session, panel, buttons\nWatch.sessions = []\ngc.collect();"
    )
    assert panel.run("lost() is None").result == "True"
    followers = "get_ipython().events.callbacks['post_run_cell']"
    assert panel.run(f"orphan._follow in {followers}").result == "False"
    assert "gone" in panel.run("orphan.buttons['int8-dynamic'].click(); print(orphan.said)").printed


def test_without_a_front_end_the_panel_says_how_to_go_on_by_code(panel):
    plain = panel.run("print(panel._repr_mimebundle_()['text/plain'])").printed
    assert "session.apply('int8-dynamic')" in plain


SLOW = """\
import time
class Slow(nn.Module):
    def forward(self, x):
        time.sleep(0.3)
        return x
net = nn.Sequential(Slow(), Slow())
inside = []
"""


def test_the_model_is_exchanged_between_its_calls_only(faked):
    # GIVEN a cell that calls the model without end
    faked.run(f"{SLOW}\n%optimize --quiet 1\n")
    faked.run("session = Watch.sessions[0]; session.model = net; panel = session.panel")
    # WHEN the exchange comes, THEN it finds a moment between two calls, though the cell goes on
    ran = faked.run(
        "depth = 0\n"
        "def enter(*_): global depth; depth += 1\n"
        "def leave(*_): global depth; depth -= 1\n"
        "net.register_forward_pre_hook(enter); net.register_forward_hook(leave)\n"
        "session.swapped = lambda: inside.append(depth)\n"
        "import threading; going = True\n"
        "def call_on():\n    while going: net(1)\n"
        "caller = threading.Thread(target=call_on); caller.start(); time.sleep(0.1)\n"
        "panel.buttons['int8-dynamic'].click()\n"
        "print(panel.wait(20), inside); going = False; caller.join()\n"
        "print(len(net._forward_hooks))"
    )
    assert ran.printed == "True [0]\n1\n"


def test_waiting_for_such_a_moment_can_be_cancelled(faked):
    faked.run(f"{SLOW}\n%optimize --quiet 1\n")
    faked.run("session = Watch.sessions[0]; session.model = net; panel = session.panel")
    ran = faked.run(
        "import threading\nsession.swapped = lambda: inside.append(1)\n"
        "caller = threading.Thread(target=lambda: [nn.Sequential(net, net, net)(1)]); caller.start()\n"
        "panel.buttons['int8-dynamic'].click(); time.sleep(0.4); print(panel.said)\n"
        "panel.buttons['cancel'].click(); print(panel.wait(1), panel.said, inside)\ncaller.join()"
    )
    assert ran.printed.splitlines() == [
        "Quantize to int8: waiting for a pause in the use of the model ...",
        "True Cancelled: the model is as it was before. []",
    ]
