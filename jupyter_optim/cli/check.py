"""``jupyter optim check``: for CI, which has to fail if a call has become slower, and to say why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jupyter_optim.analysis.compare import compare
from jupyter_optim.cli.diff import named
from jupyter_optim.cli.pairs import paired
from jupyter_optim.cli.saved import Saved, read_reports
from jupyter_optim.errors import InvalidReport
from jupyter_optim.render import comparison_headline
from jupyter_optim.render import format as fmt
from jupyter_optim.render.headline import gain


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of one report, and whether it is within what is allowed."""

    passed: bool
    words: str


def check(path: Path, max_regression: float, against: Path | None) -> int:
    """Print a line for each report. Returns the exit status: 1 if a call takes longer than is allowed.

    Args:
        path: the file to judge.
        max_regression: by which share a call may be slower.
        against: what to compare with; None: what the model was at first.

    Raises:
        InvalidReport: nothing can be judged.
    """
    reports = read_reports(path)
    if against is None:
        judged = [_by_itself(saved, max_regression) for saved in reports]
    else:
        judged = list(_compared(read_reports(against), reports, max_regression, against.name))
    for each in judged:
        print(f"{'ok    ' if each.passed else 'FAILED'}  {each.words}")
    return 0 if all(each.passed for each in judged) else 1


def _by_itself(saved: Saved, allowed: float) -> Judged:
    """Whether the changes that the model carries have made it slower than it was at first."""
    found = gain(saved.report)
    if found is None:
        return Judged(passed=True, words=f"{named(saved)}: no change is in place; it is as it was at first.")
    if found.speedup is None:
        return Judged(
            passed=False,
            words=f"{named(saved)}: the changes in place have no timing, so it cannot be judged.",
        )
    slower = 1 / found.speedup.median - 1
    words = f"{named(saved)}: {_speed(found.speedup.median)} than before the changes in place"
    # an interval that holds 1 is noise, whatever its middle
    if found.speedup.high < 1 and slower > allowed:
        return Judged(passed=False, words=f"{words}; {fmt.share(allowed)} slower is allowed.")
    return Judged(passed=True, words=f"{words}.")


def _compared(before: list[Saved], after: list[Saved], allowed: float, old: str) -> Iterator[Judged]:
    found = paired(before, after)
    if not found.pairs:
        raise InvalidReport(f"No report belongs to one of {old}: they measure different models.")
    for first, last in found.pairs:
        yield _against(first, last, allowed)
    for saved in found.only_before:
        yield Judged(passed=False, words=f"{named(saved)} of {old} is not measured any more.")
    for saved in found.only_after:
        yield Judged(passed=True, words=f"{named(saved)}: new, so there is nothing to compare it with.")


def _against(first: Saved, last: Saved, allowed: float) -> Judged:
    comparison = compare(first.report, last.report)
    latency = comparison.latency
    words = f"{last.place}: {comparison_headline(comparison).replace('`', '')}"
    if comparison.caveats:
        words += "".join(f"\n          {note}" for note in comparison.caveats)
    if latency.speedup is None:
        return Judged(passed=False, words=words)
    slower = 1 / latency.speedup.median - 1
    if latency.verdict == "slower" and slower > allowed:
        return Judged(passed=False, words=f"{words}\n          {fmt.share(slower)} more time a call; "
                      f"{fmt.share(allowed)} is allowed.")  # fmt: skip
    return Judged(passed=True, words=words)


def _speed(speedup: float) -> str:
    return f"{fmt.ratio(speedup)} faster" if speedup >= 1 else f"{fmt.ratio(1 / speedup)} slower"
