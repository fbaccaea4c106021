"""A comparison in short, for a place that shows times, sizes and verdicts of the steps already."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.compare.comparison import Comparison
from jupyter_optim.render import format as fmt
from jupyter_optim.render.comparison_tables import (
    cells,
    comparison_headline,
    line_changes,
    module_changes,
    op_changes,
    still,
)
from jupyter_optim.render.html import folded, marked, prose, table_html
from jupyter_optim.render.tables import Column, Table, table

_LARGEST = 5
_ROWS = 10
_TOLD_BY_STEPS = "Weights"


def render_changes(comparison: Comparison) -> str:
    """What the time of a call lost and gained, folded behind one sentence.

    Below it the few largest changes; modules, ops and lines are folded once more.
    """
    return "\n".join(
        (
            '<details class="jupyter-optim-changes">',
            f"<summary><strong>What changed:</strong> {marked(_sentence(comparison))}</summary>",
            *table_html(_largest(comparison)),
            *_sizes(comparison),
            *folded(module_changes(comparison, _ROWS)),
            *folded(op_changes(comparison, _ROWS)),
            *folded(line_changes(comparison, _ROWS)),
            *(f"<p>{prose(note)}</p>" for note in (still(comparison), *_notes(comparison)) if note),
            "</details>",
        )
    )


def _sentence(comparison: Comparison) -> str:
    """The largest change; what the call gained as a whole where no part is known."""
    return comparison.findings[0].text if comparison.findings else comparison_headline(comparison)


def _largest(comparison: Comparison) -> Table | None:
    found = [row for row in (*comparison.groups, comparison.rest) if row.status != "noise"]
    found.sort(key=lambda row: -abs(row.delta_ms))
    columns = (
        Column("Part of a call"), Column("Before", "number"), Column("After", "number"), Column("Change", "number"),
        Column("Of the change", "number"), Column("Verdict"),
    )  # fmt: skip
    left = len(found) - _LARGEST
    return table(
        "largest-changes", "The largest changes", columns,
        [(fmt.visible(row.name), *cells(row)) for row in found[:_LARGEST]],
        f"and {fmt.plural(left, 'smaller change')}" if left > 0 else "",
    )  # fmt: skip


def _sizes(comparison: Comparison) -> Iterator[str]:
    """What became of the memory; the steps tell the size of the weights."""
    for finding in comparison.findings:
        if finding.kind == "size" and not finding.title.startswith(_TOLD_BY_STEPS):
            yield f"<p>{marked(finding.text)}</p>"


def _notes(comparison: Comparison) -> Iterator[str]:
    yield from (f"Mind: {note}" for note in comparison.caveats)
    if comparison.lines_reason:
        yield f"Lines: {comparison.lines_reason}."
