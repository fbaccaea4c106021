"""The form for print: LaTeX that holds together whatever stands in a report."""

from __future__ import annotations

import re

import msgspec
import pytest

from jupyter_optim.render.latex import render_latex
from tests.render import samples


@pytest.mark.parametrize("name", samples.all_samples())
def test_latex_is_well_formed_whatever_is_in_a_report(name):
    report = samples.all_samples()[name]
    latex = render_latex(report, samples.bert())
    verbatim = re.compile(r"\\begin\{verbatim\}\n.*?\n\\end\{verbatim\}", re.DOTALL)
    body = verbatim.sub("", latex)
    assert len(verbatim.findall(latex)) == latex.count(r"\end{verbatim}") == latex.count(r"\begin{verbatim}")
    plain = re.sub(r"\\[{}$&#%_]", "", body)
    assert plain.count("{") == plain.count("}")
    assert plain.count(r"\begin{tabular}") == plain.count(r"\end{tabular}")
    # what is special in TeX is either ours or escaped
    assert not re.search(r"[$#%~^]", re.sub(r"#?[0-9A-F]{6}", "", plain))
    assert not re.search(r"(?<!\\)_", body)
    for row in re.findall(r"(?m)^(.*) \\\\$", plain):
        assert row.count(" & ") in (2, 3)


def test_a_line_that_ends_the_listing_does_not():
    report = samples.bert()
    report = msgspec.structs.replace(
        report, cell=report.cell.replace("hidden = ", r"\end{verbatim}\input{/etc/x} = ")
    )
    latex = render_latex(report)
    assert latex.count(r"\end{verbatim}") == latex.count(r"\begin{verbatim}")
    assert r"\end {verbatim}\input" in latex
