"""``jupyter optim html``: the reports of a notebook as one page."""

from __future__ import annotations

from pathlib import Path

from jupyter_optim.cli.saved import read_reports
from jupyter_optim.errors import InvalidOption
from jupyter_optim.render import to_pages


def write_page(path: Path, output: Path) -> int:
    """Write the reports in the file at `path` as a page to `output`. Returns the exit status.

    Raises:
        InvalidReport: there is nothing to write.
        InvalidOption: nothing can be written there.
    """
    reports = read_reports(path)
    if output.suffix.lower() not in (".html", ".htm"):
        raise InvalidOption(f"{output.name}: give the page a name that ends in .html.")
    if not output.parent.is_dir():
        raise InvalidOption(f"There is no folder {output.parent} to write {output.name} to.")
    output.write_text(
        to_pages(path.stem, [(saved.place, saved.report) for saved in reports]), encoding="utf-8"
    )
    print(f"{output}: {len(reports)} report{'' if len(reports) == 1 else 's'}")
    return 0
