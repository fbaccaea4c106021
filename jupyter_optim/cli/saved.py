"""Reports as files hold them: in the outputs of a notebook, or one by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from jupyter_optim.errors import InvalidReport
from jupyter_optim.report import MIME_TYPE, Report

_OURS = "application/vnd.jupyter-optim.report."


@dataclass(frozen=True, slots=True)
class Saved:
    """A report, and where it was found."""

    report: Report
    place: str
    """``cell [3]``, or the file's name for a report by itself."""
    cell_id: str | None = None


def read_reports(path: Path) -> list[Saved]:
    """The reports in the file at `path`, in order; never none.

    Raises:
        InvalidReport: it cannot be read, is neither a notebook nor a report, or holds no report.
    """
    data = _decoded(path)
    if isinstance(data, dict) and ("cells" in data or "worksheets" in data):
        found = list(_in_notebook(path, data))
        if not found:
            raise InvalidReport(
                f"{path.name} holds no report: run a cell of it under %%optimize, and save it with its outputs."
            )
        return found
    if isinstance(data, dict) and "schema_version" in data:
        return [Saved(_report(data, path.name), path.name)]
    raise InvalidReport(f"{path.name} is neither a notebook nor a report of jupyter_optim.")


def _decoded(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise InvalidReport(f"There is no file {path}.") from None
    except OSError as error:
        raise InvalidReport(f"{path} cannot be read: {error.strerror or error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidReport(f"{path.name} is no notebook: it is not JSON, or broken ({error}).") from error


def _in_notebook(path: Path, notebook: dict[str, Any]) -> Iterator[Saved]:
    for number, cell in enumerate(_cells(notebook), start=1):
        for output in _list(cell.get("outputs")):
            data = output.get("data") if isinstance(output, dict) else None
            if not isinstance(data, dict):
                continue
            for kind in data:
                if not isinstance(kind, str) or not kind.startswith(_OURS):
                    continue
                place = _place(cell, number)
                if kind != MIME_TYPE:
                    raise InvalidReport(
                        f"{path.name}, {place}: this report was made by a newer jupyter_optim ({kind}): update it to "
                        "read the report."
                    )
                identity = cell.get("id")
                yield Saved(
                    _report(data[kind], f"{path.name}, {place}"), place,
                    identity if isinstance(identity, str) else None,
                )  # fmt: skip


def _cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    sheets = [sheet for sheet in _list(notebook.get("worksheets")) if isinstance(sheet, dict)]
    for holder in (notebook, *sheets):
        yield from (cell for cell in _list(holder.get("cells")) if isinstance(cell, dict))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _place(cell: dict[str, Any], number: int) -> str:
    count = cell.get("execution_count")
    return f"cell [{count}]" if isinstance(count, int) else f"cell number {number}"


def _report(data: Any, place: str) -> Report:
    """The report in `data`, which is JSON, or text of JSON, in one piece or in lines."""
    try:
        if isinstance(data, list) and all(isinstance(line, str) for line in data):
            data = "".join(data)
        return Report.from_json(data if isinstance(data, str) else msgspec.json.encode(data))
    except InvalidReport as error:
        raise InvalidReport(f"{place}: {error}") from error
