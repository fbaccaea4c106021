"""A report for print: what nbconvert and Quarto put into a PDF in place of html.

They take one form of an output, and LaTeX before a picture: so this holds the figure too, drawn with rules. It asks
for nothing that their templates do not load, and a font that lacks blocks loses no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jupyter_optim.render import format as fmt
from jupyter_optim.render.breakdown import Breakdown, breakdown, part_colors
from jupyter_optim.render.headline import headline
from jupyter_optim.render.listing import ListedLine, listing
from jupyter_optim.render.palette import BLUE, QUIET, RED
from jupyter_optim.render.sections import history_table
from jupyter_optim.render.text import render_text, table_lines
from jupyter_optim.render.tries import Try, tries
from jupyter_optim.report import Report

_WIDTH = 96
"""Characters in a line of the text: what a page of nbconvert's template holds in its smallest size."""
_BAR_EM = 20.0
_STEPS = 30
_HISTORY = ("Step", "Verdict", "Speed-up (95% CI)", "State", "Size", "Quality", "Note")
_OUTCOMES = {"good": BLUE, "bad": RED, "idle": QUIET}
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "…": r"\ldots{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "`": "'",
}  # fmt: skip
_BLOCKS = str.maketrans({**dict.fromkeys("▌▋▊▉█", "#"), **dict.fromkeys("▏▎▍", "|"), "…": "..."})


def render_latex(report: Report, baseline: Report | None = None) -> str:
    """The report as LaTeX, for the body of a document.

    Args:
        report: what is shown.
        baseline: the report before any change, for figures before and after.
    """
    return "\n".join(
        (
            r"{\raggedright\setlength{\parindent}{0pt}",
            rf"\textbf{{{escaped(headline(report, baseline).replace('`', ''))}}}\par\medskip",
            *_breakdown(breakdown(report, baseline)),
            *_tries(*tries(report)),
            *_verbatim(_listing(listing(report))),
            *_verbatim(_history(report)),
            *_verbatim(render_text(report, _WIDTH, baseline).splitlines()),
            r"\par}",
        )
    )


def escaped(text: str) -> str:
    """`text` for the body of a LaTeX document."""
    return "".join(_SPECIAL.get(char, char) for char in fmt.visible(text))


def _breakdown(time: Breakdown | None) -> Iterator[str]:
    if time is None:
        return
    colors = part_colors(time.parts)
    longest = max(time.now_ms, time.first_ms or 0.0)
    bars = [("now", time.now_ms, [(part.label, part.now_ms) for part in time.parts])]
    if time.first_ms is not None:
        bars.insert(0, ("at first", time.first_ms, [(part.label, part.first_ms) for part in time.parts]))
    yield r"\textbf{Where the time of one call goes}\par\smallskip"
    yield r"{\small\begin{tabular}{@{}llr@{}}"
    for name, total, parts in bars:
        drawn = "".join(_rule(_BAR_EM * (ms or 0.0) / longest, colors[label]) for label, ms in parts)
        yield rf"{name} & {drawn} & {escaped(fmt.duration(total))} \\"
    yield r"\end{tabular}\par\smallskip"
    yield r"\begin{tabular}{@{}llrr@{}}"
    for part in time.parts:
        if part.now_ms is not None:
            share = escaped(fmt.share(part.now_ms / time.now_ms))
            name = escaped(fmt.shorten(part.label, 60))
            yield rf"{_rule(0.8, colors[part.label])} & {name} & {escaped(fmt.duration(part.now_ms))} & {share} \\"
    yield r"\end{tabular}\par}\medskip"


def _tries(title: str, rows: Iterable[Try], more: str) -> Iterator[str]:
    rows = list(rows)
    if not rows:
        return
    longest = max(1.0, *(each.middle or 0.0 for each in rows))
    yield rf"\textbf{{{escaped(title)}}}\par\smallskip"
    yield r"{\small\begin{tabular}{@{}lll@{}}"
    for each in rows:
        drawn = (
            "" if each.middle is None else _rule(_BAR_EM / 2 * each.middle / longest, _OUTCOMES[each.outcome])
        )
        yield rf"{escaped(fmt.shorten(each.labels[0], 60))} & {drawn} & {escaped(each.note)} \\"
    yield r"\end{tabular}\par}"
    if more:
        yield rf"{{\small {escaped(more)}\par}}"
    yield r"\medskip"


def _rule(width_em: float, color: str) -> str:
    return (
        rf"{{\color[HTML]{{{color.removeprefix('#').upper()}}}\rule{{{width_em:.2f}em}}{{1.4ex}}}}"
        if width_em >= 0.005
        else ""
    )


def _listing(rows: tuple[ListedLine, ...]) -> list[str]:
    """The cell with the time of each line; those that cost most are marked."""
    if not rows:
        return []
    return ["This cell as it last ran, with the time of each line and of what it calls", *map(_listed, rows)]


def _listed(row: ListedLine) -> str:
    if row.skipped:
        return f"{'':>5}  ... {fmt.plural(row.skipped, 'line')} that cost less, or nothing"
    text = fmt.visible(row.text.expandtabs(4))
    if row.cost is None:
        return f"{row.lineno:>5}{'':<23}{text}".rstrip()
    mark = "hot" if row.hot else ""
    cost = f"{fmt.duration(row.cost.ms):>10} {fmt.share(row.cost.share):>5}  {mark:<4}"
    return f"{row.lineno:>5}{cost:<23}{text}"


def _history(report: Report) -> list[str]:
    found = history_table(report, _STEPS)
    return [] if found is None else table_lines(found, _HISTORY, _WIDTH)


def _verbatim(lines: list[str]) -> Iterator[str]:
    if lines:
        yield r"{\scriptsize\begin{verbatim}"
        for line in lines:
            # a line of the user's that ends it would have the rest taken for LaTeX
            yield line.translate(_BLOCKS).replace(r"\end{verbatim}", r"\end {verbatim}")
        yield r"\end{verbatim}}"
