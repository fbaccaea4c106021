"""What comes of a measurement, shown below the cell: a report with its panel, or one plain sentence."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from jupyter_optim.errors import NoModelCalled, OptimError
from jupyter_optim.notebook.display import Output
from jupyter_optim.progress import Progress
from jupyter_optim.render.format import flop, size

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_optim.hardware.peak_data import Peaks
    from jupyter_optim.notebook.arguments import Arguments
    from jupyter_optim.session import Session

EXPRESSION_FILE = "<%optimize>"
"""The name under which the engine compiles the expression of ``%optimize``."""

_CALL_ONE = "Call a model in the cell and run it again, or measure one expression: %optimize model(x)."
_STANDS = "The cell's results stand."


def present(
    shell: InteractiveShell, given: Arguments, measure: Callable[[Progress], Session], subject: str
) -> None:
    """Measure, and show what came of it.

    Args:
        shell: where it is shown.
        given: what the user asked for.
        measure: makes the session, and tells its progress; what would help is not predicted yet.
        subject: what is measured, for the line that is shown meanwhile.
    """
    output = Output(shell, with_paths=given.with_paths)
    output.say(f"Measuring {subject}")
    try:
        if given.recalibrate:
            _recalibrated(output)
        session = measure(Progress(lambda text, done: output.say(f"Measuring {subject}: {text}", done)))
        below = _predicted(shell, given, session, output)
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 (the edge)
        raised = _in_expression(error)
        if raised is not None:
            output.clear()
            raise error.with_traceback(raised) from None
        _explain(output, error)
        return
    if given.into is not None:
        shell.push({given.into: session})
    for follow in (partial(_offer, below=below), _save, _check_trace):
        try:
            follow(session, given, output)
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 (the edge)
            # in an output of its own: the report above is complete, and stays
            _explain(Output(shell, with_paths=given.with_paths), error)


def _predicted(shell: InteractiveShell, given: Arguments, session: Session, output: Output) -> Output:
    """Predict what would help while the report is there to read, then show it with that.

    Returns:
        The output below the report, for the panel.
    """
    if given.quiet or output.in_terminal:
        below = output
    else:
        output.report(session.report, session.baseline)
        below = Output(shell)
    # interrupted, the user has seen enough: what was predicted so far counts
    with suppress(KeyboardInterrupt):
        session.predict(Progress(below.say))
    if given.quiet:
        output.headline(session.report, session.baseline)
    else:
        output.report(session.report, session.baseline)
    return below


def show_peaks(shell: InteractiveShell) -> None:
    """Measure what the machine can do at most, and say it in one line a device."""
    output = Output(shell)
    output.say("Measuring this machine")
    try:
        found = _recalibrated(output)
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 (the edge)
        _explain(output, error)
        return
    lines = []
    for each in found:
        rates = ", ".join(f"{name} {flop(rate)}/s" for name, rate in each.flops.items())
        memory = size(each.bandwidth_bytes_per_s, each.reasons.get("memory"))
        lines.append(f"{each.key.device} ({each.key.model}): {rates}; memory {memory}/s. {each.method}.")
    output.card("What this machine can do at most", " ".join(lines))


def _recalibrated(output: Output) -> list[Peaks]:
    import torch  # noqa: PLC0415 (loading the extension must not import torch)

    from jupyter_optim.hardware.peaks import peaks  # noqa: PLC0415 (imports torch)

    progress = Progress(output.say)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return [peaks(device, recalibrate=True, progress=progress) for device in devices]


def show_trace(shell: InteractiveShell, given: Arguments) -> None:
    """Show a trace file as a report, or say in a sentence why that cannot be."""
    from jupyter_optim.analysis.traces import open_trace  # noqa: PLC0415 (a plain run has no use for it)

    output = Output(shell, with_paths=given.with_paths)
    assert given.open is not None
    output.say(f"Reading {given.open.name}")
    try:
        report = open_trace(given.open, with_paths=given.with_paths)
        if given.quiet:
            output.headline(report)
        else:
            output.report(report)
        if given.save is not None:
            report.save(given.save)
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 (the edge)
        _explain(output, error)
        return
    if given.into is not None:
        shell.push({given.into: report})


def fail(shell: InteractiveShell, given: Arguments, error: BaseException) -> None:
    """Show why nothing could be measured."""
    _explain(Output(shell, with_paths=given.with_paths), error)


def _offer(session: Session, given: Arguments, output: Output, *, below: Output) -> None:
    if output.in_terminal:
        if not given.quiet:
            output.hint(next((each.technique for each in session.recommendations), "int8-dynamic"))
        return
    from jupyter_optim.notebook.panel import leave_report_of, new_panel_of  # noqa: PLC0415 (imports ipywidgets)

    if given.quiet:
        leave_report_of(session)
        return
    panel = new_panel_of(session)
    panel.attach(output)
    below.widget(panel)


def _save(session: Session, given: Arguments, _: Output) -> None:
    if given.save is not None:
        session.report.save(given.save)


def _check_trace(session: Session, given: Arguments, _: Output) -> None:
    """Say so if the trace that was asked for could not be made."""
    report = session.report
    if given.trace is not None and (report.trace.source != "replay" or not report.trace.calls):
        raise OptimError(f"No trace was written: {report.workload.reason or report.trace.reason}.")


def _in_expression(error: BaseException) -> TracebackType | None:
    """The part of the traceback from the user's expression on, if it was that which raised."""
    trace = None if isinstance(error, KeyboardInterrupt | OptimError) else error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != EXPRESSION_FILE:
        trace = trace.tb_next
    return trace


def _explain(output: Output, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        output.card("Interrupted", f"Measuring was stopped. {_STANDS} Run the cell again to measure.")
    elif isinstance(error, NoModelCalled):
        output.card("No model to measure", f"{error} {_CALL_ONE} {_STANDS}")
    elif isinstance(error, OptimError | OSError):
        output.card("Not done", f"{error} {_STANDS}")
    else:
        details = "".join(traceback.format_exception(error))
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        output.card("Not done", f"jupyter_optim failed with {cause}. {_STANDS}", details)
