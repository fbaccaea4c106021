"""A report as a page of its own, light or dark as the reader's system is."""

from __future__ import annotations

from html import escape

from jupyter_optim.render import format as fmt
from jupyter_optim.render.headline import headline
from jupyter_optim.report import Report

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --paper: #fff; --hot: #fff1d6 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --paper: #0d1117; --hot: #3a2d12 }
}
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem } h2 { border-top: 1px solid var(--line); padding-top: 1.2rem; margin-top: 2.4rem }
h3 { font-size: 1.3rem } h4 { margin-bottom: .3rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: .2rem 0; white-space: nowrap }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; font-weight: 400 }
thead th { color: var(--soft); white-space: nowrap } td[align=right] { white-space: nowrap }
.jupyter-optim-hot td { background: var(--hot) } code { font: .92em ui-monospace, monospace }
.jupyter-optim-listing code { white-space: pre } .jupyter-optim-left-out, small { color: var(--soft) }
summary { cursor: pointer; font-weight: 600; margin: .4rem 0 } img { max-width: 100%; height: auto; border-radius: 6px }
"""


def render_page(title: str, fragment: str) -> str:
    """A self-contained html page around an html `fragment`."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(fmt.visible(title))}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{fragment}\n</body>\n</html>\n"
    )


def page_title(report: Report) -> str:
    """What a page about one report is called."""
    return f"{report.workload.model}: {headline(report).replace('`', '')}"
