"""What tracing the lines of a model's own code adds to a call, over the models of the test suite."""

from __future__ import annotations

import statistics

from benchmarks.timing import Result, quartiles, spread
from benchmarks.traced import trace, zoo_workload
from jupyter_optim.profiling.lines.open_lines import LINE_BUDGET
from tests.zoo import ENTRIES, Entry
from tests.zoo.timings import one_thread

PAIRS = 9
BAR = 0.10


def lines() -> Result:
    """Time of a call in the trace with ranges for lines, against the trace without, in turns, model by model.

    On one thread: where another program holds a core, small ops wait long for each other's threads, and beside that
    any addition looks small.
    """
    rows, skipped = [], []
    for entry in ENTRIES:
        with one_thread():
            found = _added(entry)
        if found is None:
            skipped.append(entry.name)
        else:
            rows.append({"model": entry.name, **found})
    added = [row["added"]["median"] for row in rows]
    median = statistics.median(added)
    return {
        "bar": f"at most {BAR:.0%} (median over models)", "holds": median <= BAR, "ratio": 1 + median,
        "added": quartiles(added),
        "added_after_the_first_call": quartiles([row["later"]["median"] for row in rows]),
        "models": len(rows), "models_above_bar": sum(each > BAR for each in added),
        "with_lines_of_their_own": sum(row["ranges_a_call"] > 0 for row in rows), "skipped": skipped, "rows": rows,
    }  # fmt: skip


def _added(entry: Entry) -> Result | None:
    """Part of a call's time that the lines add: all traced calls, and those after the first."""
    with zoo_workload(entry) as ready:
        if ready is None:
            return None
        workload, calls = ready
        calls = max(2, calls)
        for each in (False, True):
            trace(workload, lines=each, calls=calls)
        whole, later, ranges = [], [], 0.0
        for pair in range(PAIRS):
            found = {}
            for each in (False, True) if pair % 2 else (True, False):
                found[each] = trace(workload, lines=each, calls=calls)
            bare, lined = found[False].wall_s, found[True].wall_s
            whole.append(sum(lined) / sum(bare) - 1)
            later.append(sum(lined[1:]) / sum(bare[1:]) - 1)
            ranges = (LINE_BUDGET - found[True].lines._open.left) / calls
        return {"call_ms": 1e3 * statistics.median(bare), "calls": calls, "ranges_a_call": ranges,
                "added": spread(whole), "later": spread(later)}  # fmt: skip
