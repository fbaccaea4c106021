"""The body of a measured cell behaves as the same cell without the magic."""

from __future__ import annotations

import pytest

BODIES = {
    "last expression": "a = 20\na + 1",
    "silenced": "a = 20\na + 1;",
    "nothing to show": "a = 20",
    "printed and shown": "print('one')\n[1, 2]",
    "line magic and shell": "%cd -q .\n!echo hello\n3",
    "nested cell magic": "%%capture got\nprint('inside')",
    "assigned from shell": "lines = !printf 'a\\nb'\nlines",
    "future import": "from __future__ import annotations\ndef f(x: not_defined): pass\nf.__annotations__",
    "multi-line string": 's = """\n  two\n    lines\n"""\ns',
    "comment at the end": "1 + 1  # a comment",
    "only a comment": "# nothing",
    "nested timing": "%%capture got\n%timeit -n1 -r1 pass",
    "exception group": "raise ExceptionGroup('two', [ValueError(1), KeyError(2)])",
    "raises": "b = 1\n\nb / 0",
    "raises in a function": "def f():\n    return {}['k']\n\nf()",
    "raises from another": "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('second') from e",
    "syntax error": "b = 1\nb = (2",
    "indentation error": "if True:\nb = 1",
    "return outside": "b = 1\nreturn b",
    "syntax error at run time": "exec('x y')",
    "exits": "import sys, warnings\nwarnings.filterwarnings('ignore', 'To exit')\nsys.exit(3)",
    "interrupted": "raise KeyboardInterrupt",
    "own rendering": "class E(Exception):\n    def _render_traceback_(self): return ['mine']\nraise E",
}


def _below(ran, shift: int) -> list:
    """What stands below the cell, with line numbers as if the magic's line were not there."""
    import re

    def moved(found) -> str:
        return f"{found[1]}{int(found[2]) - shift}"

    texts = []
    for each in ran.outputs:
        if each.output_type == "stream":
            text = re.sub(r"ipykernel_\d+/\d+.py", "cell", each.text)
            texts.append((each.name, re.sub(r"(cell\", line )(\d+)", moved, text)))
        elif each.output_type == "execute_result":
            texts.append(("result", each.data["text/plain"]))
    for text in ran.tracebacks:
        lines = [line for line in text.splitlines() if "%%optimize" not in line]
        text = re.sub(r"Cell In\[\d+\]", "Cell", "\n".join(lines))
        text = re.sub(r"(line )(\d+)", moved, text)
        texts.append(
            ("error", re.sub(r"(?m)^((?:-+>)? *)(\d+)(?= |$)", moved, text).replace(" ", "").replace("-", ""))
        )
    return texts


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_shows_what_a_plain_cell_shows(faked, body):
    # GIVEN a cell, WHEN it runs with and without the magic
    plain = faked.run(body)
    measured = faked.run(f"%%optimize --quiet\n{body}")
    # THEN both show the same, and tell the front end the same of success
    assert measured.failed == plain.failed
    assert _below(measured, 1) == _below(plain, 0)


@pytest.mark.parametrize("body", ["b = 1\n\nb / 0", "def f():\n    return {}['k']\n\nf()"])
def test_traceback_counts_the_lines_of_the_editor(faked, body):
    # GIVEN blank lines before and after the magic
    source = f"\n\n%%optimize net\n\n\n{body}"
    error_line = len(source.splitlines())
    # WHEN the last line raises
    ran = faked.run(source)
    # THEN the one traceback names the editor's line, and holds no frame of ours or of IPython
    assert ran.failed
    assert len(ran.tracebacks) == 1
    assert f"line {error_line}\n" in ran.tracebacks[0]
    assert "jupyter_optim" not in ran.tracebacks[0]
    assert "interactiveshell" not in ran.tracebacks[0]
    assert not ran.displays("text/html")


def test_syntax_error_names_the_line_of_the_editor(faked):
    ran = faked.run("\n%%optimize\n\nb = 1\nb = (2\n")
    assert ran.failed
    assert len(ran.tracebacks) == 1
    assert "line 5" in ran.tracebacks[0]


def test_traceback_has_the_number_of_the_prompt(faked):
    number = int(faked.run("print(get_ipython().execution_count)").printed)
    assert f"Cell In[{number}]" in faked.run("%%optimize\n1/0").tracebacks[0]


def test_the_body_runs_once(faked):
    faked.run("count = 0")
    faked.run("%%optimize --quiet\ncount += 1")
    assert faked.run("count").result == "1"


def test_out_and_underscore_are_set(faked):
    faked.run("%%optimize --quiet\n'kept'")
    assert faked.run("_").result == "'kept'"
    assert faked.run("list(Out.values())[-1]").result == "'kept'"


def test_interactivity_of_the_shell_is_honoured(faked):
    faked.run("get_ipython().ast_node_interactivity = 'all'")
    ran = faked.run("%%optimize --quiet\n1\n2")
    faked.run("get_ipython().ast_node_interactivity = 'last_expr_or_assign'")
    assigned = faked.run("%%optimize --quiet\nv = 7")
    faked.run("get_ipython().ast_node_interactivity = 'last_expr'")
    shown = [each.data["text/plain"] for each in ran.outputs if each.output_type == "execute_result"]
    assert shown == ["1", "2"]
    assert assigned.result == "7"


def test_ast_transformers_of_the_shell_apply(faked):
    faked.run(
        "import ast\n"
        "class Double(ast.NodeTransformer):\n"
        "    def visit_Constant(self, node):\n"
        "        return ast.copy_location(ast.Constant(node.value * 2), node) if node.value == 21 else node\n"
        "doubler = Double(); get_ipython().ast_transformers.append(doubler)"
    )
    ran = faked.run("%%optimize --quiet\n21")
    faked.run("get_ipython().ast_transformers.remove(doubler)")
    assert ran.result == "42"


@pytest.mark.parametrize("body", ["await thing()", "async for a in b(): pass", "[a async for a in b()]"])
def test_top_level_await_is_refused_before_anything_runs(faked, body):
    faked.run("ran_it = False")
    ran = faked.run(f"%%optimize\nran_it = True\n{body}")
    assert ran.failed
    assert "awaits at its top level" in ran.stream("stderr")
    assert not ran.tracebacks
    assert faked.run("ran_it").result == "False"


def test_await_inside_a_function_is_fine(faked):
    assert faked.run("%%optimize --quiet\nasync def f(): await g()\n1").result == "1"


def test_debug_starts_where_the_body_raised(faked):
    faked.run("%%optimize\ndef broken(deep):\n    return deep / 0\nbroken(5)")
    seen = faked.run("import sys; sys.last_traceback.tb_next.tb_next is not None")
    assert seen.result == "True"
    innermost = faked.run(
        "tb = sys.last_traceback\nwhile tb.tb_next: tb = tb.tb_next\ntb.tb_frame.f_locals, tb.tb_lineno"
    )
    assert innermost.result == "({'deep': 5}, 3)"


def test_the_error_is_in_the_shells_record(faked):
    faked.run("%%optimize\n1/0")
    assert "ZeroDivisionError" in faked.run("%tb").printed + "".join(faked.run("%tb").tracebacks)


def test_the_engine_gets_the_cell_as_the_editor_shows_it(faked):
    source = "\n%%optimize net --no-lines\n\n# a comment\nnet(x)"
    faked.run(source)
    seen = faked.run("seen = Watch.seen[-1]; print(repr(seen.cell)); print(seen.lines)\nimport linecache")
    assert seen.printed == f"{source!r}\nFalse\n"
    own = "[name for name in linecache.cache if seen.cell_of(name) == Cell('this cell')]"
    faked.run("from jupyter_optim.profiling.lines.user_code import Cell")
    assert faked.run(f"[linecache.getline(name, 5) for name in {own}]").result == "['net(x)\\n']"


def test_the_magic_may_stand_below_another(faked):
    ran = faked.run("%%time\n%%optimize --quiet\n1/0")
    assert ran.failed
    assert "line 3" in ran.tracebacks[0]


def test_figures_stand_above_the_report(faked):
    faked.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
    ran = faked.run("%%optimize\nplt.plot([1, 2]);")
    kinds = [
        "figure" if "<Figure" in each.data["text/plain"] else "ours" for each in ran.outputs if "data" in each
    ]
    assert kinds == ["figure", "ours", "ours"]


def test_a_notebook_with_measured_cells_can_be_run_from_another(faked):
    faked.run(
        "import nbformat\n"
        "cells = ['%%optimize --quiet\\nfrom_there = 5', '%%optimize --quiet\\n1/0', 'never = 1']\n"
        "cells = [nbformat.v4.new_code_cell(each) for each in cells]\n"
        "nbformat.write(nbformat.v4.new_notebook(cells=cells), 'other.ipynb')"
    )
    ran = faked.run("%run other.ipynb")
    assert ran.failed
    assert "line 2" in ran.tracebacks[0]
    assert faked.run("from_there, 'never' in globals()").result == "(5, False)"
