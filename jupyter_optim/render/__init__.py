"""From a report to what people see: text, html, a picture, a page. Each is a pure function of the report."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeVar

from jupyter_optim.analysis.compare import Comparison
from jupyter_optim.errors import InvalidReport
from jupyter_optim.render.comparison import (
    comparison_figure,
    comparison_headline,
    comparison_text,
    render_comparison,
)
from jupyter_optim.render.fit import JSON_BYTES, RUN_BYTES, fitted
from jupyter_optim.render.format import visible
from jupyter_optim.render.headline import headline
from jupyter_optim.render.html import render_html
from jupyter_optim.render.latex import render_latex
from jupyter_optim.render.page import page_title, render_page
from jupyter_optim.render.text import render_text
from jupyter_optim.report import MIME_TYPE, Report

__all__ = [
    "comparison_figure",
    "comparison_headline",
    "comparison_html",
    "comparison_text",
    "headline",
    "save",
    "to_bundle",
    "to_html",
    "to_page",
    "to_pages",
    "to_png",
    "to_text",
]

_Png = TypeVar("_Png", bound=bytes | None)


def to_text(report: Report, width: int | None = None, baseline: Report | None = None) -> str:
    """The report for a terminal.

    Args:
        report: what is shown.
        width: characters in a line: 100 if None, and never less than 40.
        baseline: the report before any change, for figures before and after.
    """
    return render_text(report, width, _before(report, baseline))


def to_html(report: Report, baseline: Report | None = None, *, figure: bool = True) -> str:
    """The report as an html fragment without script, style sheet or svg.

    Args:
        report: what is shown.
        baseline: the report before any change, for figures before and after.
        figure: whether the picture is in it.
    """
    before = _before(report, baseline)
    return render_html(report, before, *(_picture(report, before), _limits(report)) if figure else ())


def to_png(report: Report, baseline: Report | None = None) -> bytes:
    """The picture of the report: where the time goes, before and after, and what was tried.

    Args:
        report: what is drawn.
        baseline: the report before any change, for the bar "at first".
    """
    # matplotlib takes half a second to import, and is needed for nothing else
    from jupyter_optim.render.figure import render_png  # noqa: PLC0415

    return render_png(report, _before(report, baseline))


def to_bundle(report: Report, baseline: Report | None = None) -> dict[str, Any]:
    """The report as a notebook's output: a MIME bundle of at most 300 KB.

    A report with very many rows goes in without the cheapest of them, and says so.

    Args:
        report: what is shown.
        baseline: the report before any change, for figures before and after.
    """
    before = _before(report, baseline)
    picture = _picture(report, before)
    shown = {
        "text/html": render_html(report, before, picture, _limits(report)),
        "text/latex": render_latex(report, before),
        "text/plain": render_text(report, None, before),
    }
    if isinstance(picture, bytes):
        shown["image/png"] = base64.b64encode(picture).decode()
    room = RUN_BYTES - sum(len(json.dumps(text)) for text in shown.values())
    return {MIME_TYPE: json.loads(fitted(report, min(JSON_BYTES, room)).to_json()), **shown}


def to_page(report: Report, baseline: Report | None = None) -> str:
    """The report as an html page of its own, which needs nothing else.

    Args:
        report: what is shown.
        baseline: the report before any change, for figures before and after.
    """
    return render_page(page_title(report), to_html(report, baseline))


def to_pages(title: str, reports: Sequence[tuple[str, Report]]) -> str:
    """Several reports as one html page, which needs nothing else.

    Args:
        title: what the page is about: the notebook's name.
        reports: each with the place where it stands in the notebook.
    """
    parts = [f"<h1>{escape(visible(title))}</h1>"]
    for place, report in reports:
        parts += [f"<h2>{escape(visible(place))}</h2>", to_html(report)]
    return render_page(title, "\n".join(parts))


def save(report: Report, path: Path, baseline: Report | None = None) -> Path:
    """Write the report to `path`, in the format of its ending: html, json, txt or png.

    Raises:
        InvalidReport: the ending is none of these.
    """
    ending = path.suffix.lower()
    if ending == ".png":
        path.write_bytes(to_png(report, baseline))
    elif ending == ".html":
        path.write_text(to_page(report, baseline), encoding="utf-8")
    elif ending == ".json":
        path.write_text(report.to_json(), encoding="utf-8")
    elif ending == ".txt":
        path.write_text(to_text(report, baseline=baseline) + "\n", encoding="utf-8")
    else:
        raise InvalidReport(f"{path.name} cannot be written: give it the ending .html, .json, .txt or .png.")
    return path


def comparison_html(comparison: Comparison, *, figure: bool = True) -> str:
    """Two reports side by side, as an html fragment without script, style sheet or svg.

    Args:
        comparison: what is shown.
        figure: whether the picture is in it.
    """
    return render_comparison(comparison, _drawn(lambda: comparison_figure(comparison)) if figure else None)


def _before(report: Report, baseline: Report | None) -> Report | None:
    """`baseline`, unless it is the report itself: then there is nothing to compare.

    So too when no step stands: two reports of the same model differ by noise only.
    """
    stands = any(step.accepted and not step.undone for step in report.history)
    return baseline if stands and baseline is not report else None


def _picture(report: Report, baseline: Report | None) -> bytes | str:
    return _drawn(lambda: to_png(report, baseline))


def _limits(report: Report) -> bytes | str | None:
    """The picture of memory and roofline, None if neither is known, or why it could not be drawn."""

    def draw() -> bytes | None:
        from jupyter_optim.render.limits_figure import render_limits_png  # noqa: PLC0415 (imports matplotlib)

        return render_limits_png(report)

    return _drawn(draw)


def _drawn(draw: Callable[[], _Png]) -> _Png | str:
    """The picture, or why there is none: the figures all stand in the html as well."""
    try:
        return draw()
    except Exception as error:  # noqa: BLE001 (an edge: a picture that fails must not cost the report)
        return f"{type(error).__name__}: {error}"
