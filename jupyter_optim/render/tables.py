"""A table of words, before anything decides how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NOTHING = "–"
"""In a cell: not known for this row. A column of nothing else is left out."""

Kind = Literal["text", "code", "number", "bar", "detail"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; a ``detail`` is a sentence, which a terminal shows below the row."""

    title: str
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text with a name for machines, a title for people, and what was left out."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: str = ""

    def without_empty_columns(self) -> Table:
        """This table less the columns that hold nothing."""
        keep = [
            i for i, _ in enumerate(self.columns) if any(row[i] not in ("", NOTHING) for row in self.rows)
        ]
        return Table(
            self.name,
            self.title,
            tuple(self.columns[i] for i in keep),
            tuple(tuple(row[i] for i in keep) for row in self.rows),
            self.left_out,
        )


def table(
    name: str, title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], left_out: str = ""
) -> Table | None:
    """A table without empty columns, or None if it has no rows."""
    if not rows:
        return None
    return Table(
        name, title, tuple(columns), tuple(tuple(row) for row in rows), left_out
    ).without_empty_columns()
