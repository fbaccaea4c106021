"""What a report says of models that were given to `torch.compile`: graphs, breaks, recompilations, kernels.

Each test has classes of its own, since PyTorch keeps compiled code with the code of a class. Where no kernel is looked
at, the backend is ``eager``: it takes no compiler, and breaks in the same places.
"""

from __future__ import annotations

import inspect
import linecache
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.utils as dynamo
from torch import nn
from torch.nn.modules import module as global_hooks

import jupyter_optim as jo
from jupyter_optim import module_hooks
from jupyter_optim.profiling.compiled.kernels import GraphSource, ops_of
from jupyter_optim.profiling.compiled.parts import compiled_parts
from jupyter_optim.profiling.compiled.regions import Seen
from jupyter_optim.profiling.lines.user_code import Cell, UserCode, name_cells_by
from jupyter_optim.profiling.trace.reader import read
from jupyter_optim.report import Compiled, Report
from jupyter_optim.session import watch
from tests.profiling.made_up_gpu import MadeUpGpu
from tests.zoo.timings import short_timings

HERE = Path(__file__).resolve()
X = torch.randn(4, 16)


@pytest.fixture(autouse=True)
def _quickly() -> Iterator[None]:
    with short_timings(), torch.no_grad(), warnings.catch_warnings():
        yield


def report_of(model: nn.Module, *inputs: Any) -> Report:
    return jo.optimize(model, inputs or (X,)).report


def compiled_of(model: nn.Module, *inputs: Any) -> Compiled:
    found = report_of(model, *inputs).compiled
    assert found is not None
    return found


def line_of(function: Callable[..., Any], text: str) -> str:
    """``source:lineno`` of the line of a function that holds `text`."""
    lines, first = inspect.getsourcelines(function)
    number = next(first + i for i, line in enumerate(lines) if text in line)
    shown = UserCode().place(str(HERE))
    assert shown is not None
    return f"{shown.name}:{number}"


def compilations() -> int:
    return len(dynamo.get_compilation_metrics())


def findings(report: Report, kind: str) -> list[jo.report.Finding]:
    return [each for each in report.findings if each.kind == kind]


def test_a_model_without_breaks_is_one_graph_and_its_kernels_name_ops_and_modules() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 16)
            self.norm = nn.LayerNorm(16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.norm(self.fc(x)))

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = Block()
            self.blocks = nn.ModuleList([Block()])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.blocks[0](self.first(x)).sigmoid()

    # GIVEN a model compiled by inductor, and called
    model = torch.compile(Two().eval())
    model(X)
    before = compilations()
    # WHEN it is measured
    report = report_of(model)
    found = report.compiled
    # THEN its one graph is seen, and measuring it has compiled nothing
    assert compilations() == before
    assert found is not None
    assert (found.graphs, found.breaks, found.skipped, found.recompiles) == (1, (), (), 0)
    assert 0 < found.share <= 1
    assert found.compiled_ms == pytest.approx(found.share * report.trace.call_ms, rel=1e-6)
    # AND its kernels are traced back to the norms whose weights they read
    assert [(kernel.modules, kernel.calls) for kernel in found.kernels] == [
        (("first.norm",), 1),
        (("blocks.0.norm",), 1),
    ]
    assert found.kernels[0].ops == ("native_layer_norm", "relu")
    assert "sigmoid" in found.kernels[1].ops
    assert {kernel.ms for kernel in found.kernels} == {None}
    assert "not timed" in found.reason
    assert not [line for line in report.lines if "extern_kernels" in line.text]
    assert not findings(report, "graph-breaks")
    assert "1 in one call" in str(report)
    assert "blocks.0.norm" in str(report)


def test_a_print_breaks_the_graph_at_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    class Talks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.fc(x)
            print("here")
            return x.relu()

    report = report_of(torch.compile(Talks().eval(), backend="eager"))
    found = report.compiled
    place = line_of(Talks, "print(")
    assert found is not None
    assert found.graphs == 2
    assert [(each.reason, each.line) for each in found.breaks] == [("`print`", place)]
    assert "inductor" in found.reason
    assert not found.kernels
    (finding,) = findings(report, "graph-breaks")
    assert finding.title == f"The compiled model breaks into 2 graphs in one call: `print` at {place}"
    assert "is_compiling" in finding.text
    assert place in str(report)
    page = report.save(tmp_path / "report.html").read_text()
    assert f'<td style="text-align:left"><code>{place}</code></td>' in page
    assert Report.from_json(report.to_json()).compiled.breaks == found.breaks


def test_item_and_a_branch_on_a_tensor_break_where_they_stand() -> None:
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.fc(x)
            scale = x.abs().max().item()
            x = x / scale
            if x.sum() > 0:
                x = x + 1
            return x * 2

    found = compiled_of(torch.compile(Looks().eval(), backend="eager"))
    assert [(each.reason, each.line) for each in found.breaks] == [
        ("`.item()`", line_of(Looks, ".item()")),
        ("a branch on the value of a tensor", line_of(Looks, "if x.sum()")),
    ]
    assert found.graphs == 3


def test_a_break_within_a_submodule_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    class Inner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + 1
            print("inner")
            return x * 2

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x).relu()

    found = compiled_of(torch.compile(Outer(), backend="eager"))
    assert [each.line for each in found.breaks] == [line_of(Inner, "print(")]


def test_the_breaks_of_another_instance_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    class May(nn.Module):
        def __init__(self, talks: bool) -> None:
            super().__init__()
            self.talks = talks

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + 1
            if self.talks:
                print("may")
            return x.relu()

    talking, silent = torch.compile(May(True), backend="eager"), torch.compile(May(False), backend="eager")
    assert len(compiled_of(talking).breaks) == 1
    found = compiled_of(silent)
    assert (found.graphs, found.breaks) == (1, ())


def test_a_function_that_cannot_be_compiled_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    class Loops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = layer(x)
                print("loop")
            return x

    report = report_of(torch.compile(Loops(), backend="eager"))
    found, place = report.compiled, line_of(Loops, "print(")
    assert found is not None
    assert found.graphs == 0
    assert found.share == 0
    assert [each.line for each in found.skipped] == [place]
    (finding,) = findings(report, "not-compiled")
    assert place in finding.title
    assert finding.severity == "high"


def test_changing_shapes_are_why_it_was_compiled_again() -> None:
    class Shaped(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu() * 2

    model = torch.compile(Shaped(), backend="eager")
    for rows in (2, 3, 4, 5):
        model(torch.randn(rows, 16))
    report = report_of(model, torch.randn(5, 16))
    found = report.compiled
    assert found is not None
    # the second shape makes the size a variable
    assert found.recompiles == 1
    assert "size mismatch" in found.recompile_reasons[0]
    (finding,) = findings(report, "recompiles")
    assert "changing shapes" in finding.title
    assert "mark_dynamic" in finding.text


def test_a_value_that_changes_is_compiled_until_pytorch_gives_up() -> None:
    class Counts(nn.Module):
        def forward(self, x: torch.Tensor, name: str) -> torch.Tensor:
            return x.relu() * len(name)

    model = torch.compile(Counts(), backend="eager")
    for size in range(1, 14):
        model(X, "n" * size)
    report = report_of(model, X, "n" * 20)
    found = report.compiled
    assert found is not None
    assert found.graphs == 0
    assert found.recompiles == 7
    assert found.skipped[0].reason == "compiled too often"
    assert findings(report, "not-compiled")
    (finding,) = findings(report, "recompiles")
    assert "a value changed" in finding.title


def test_compiled_submodules_are_found_and_the_rest_keeps_its_rows() -> None:
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).relu()

    model = nn.Sequential(Part(), Part(), Part()).eval()
    model[0].compile(backend="eager")
    model[1] = torch.compile(model[1], backend="eager")
    report = report_of(model)
    found = report.compiled
    assert found is not None
    assert found.graphs == 2
    assert found.recompiles == 0
    assert 0 < found.share < 1
    rows = {row.path: row.calls for row in report.modules}
    assert rows["0"] == rows["1"] == rows["2"] == rows["2.fc"] == 1
    assert "0.fc" not in rows


def test_a_compiled_function_within_the_model_is_found() -> None:
    @torch.compile(backend="eager")
    def act(x: torch.Tensor) -> torch.Tensor:
        return x.relu() + 1

    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return act(self.fc(x))

    assert compiled_of(Calls()).graphs == 1


def test_a_layer_of_pytorch_compiled_by_its_method_is_not_compiled() -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU())
    model[0].compile(backend="eager")
    report = report_of(model)
    assert report.compiled is not None
    assert report.compiled.graphs == 0
    (finding,) = findings(report, "not-compiled")
    assert "no compiled code ran" in finding.title


def test_a_model_that_is_not_compiled_has_nothing_to_say() -> None:
    model = nn.Sequential(nn.Linear(16, 16))
    torch.compile(nn.Sequential(nn.Linear(16, 16)), backend="eager")(X)
    report = report_of(model)
    assert report.compiled is None
    assert "compiled" not in str(report).lower()


def test_what_this_pytorch_does_not_tell_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu()

    monkeypatch.delattr(dynamo, "get_compilation_metrics")
    monkeypatch.delattr(dynamo, "graph_break_reasons")
    found = compiled_of(torch.compile(Plain(), backend="eager"))
    assert found.graphs == 1
    assert found.breaks == ()
    assert found.recompiles is None
    assert "does not tell its compilations and graph breaks" in found.reason


def test_our_own_technique_compiles_layers_of_pytorch_too() -> None:
    # GIVEN a model whose forward is PyTorch's own: its method `compile()` would compile nothing
    model = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 4)).eval()
    expected = model(X)
    session = jo.optimize(model, X)
    # WHEN it is compiled in place
    session.apply("compile", keep="always")
    # THEN one graph of its code runs, and it is the same model
    found = session.report.compiled
    assert found is not None
    assert (found.graphs, found.skipped) == (1, ())
    assert any("gelu" in kernel.ops for kernel in found.kernels)
    assert type(model) is nn.Sequential
    assert torch.allclose(model(X), expected, atol=1e-5)
    assert "torch.compile(model)" in session.code()
    # AND undone it is as before
    session.undo()
    assert session.report.compiled is None
    assert torch.equal(model(X), expected)


def test_our_own_technique_shows_what_it_made() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 16)
            self.norm = nn.LayerNorm(16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.fc(x)).tanh()

    model = Plain().eval()
    session = jo.optimize(model, X)
    assert session.report.compiled is None
    step = session.apply("compile", keep="always")
    assert step.accepted, step.reason
    found = session.report.compiled
    assert found is not None
    assert found.graphs == 1
    assert ("norm",) in [kernel.modules for kernel in found.kernels]
    session.undo()
    assert session.profile().compiled is None


CELLS = {
    "model.compile": "model.compile(backend='eager')",
    "torch.compile": "model = torch.compile(model, backend='eager')",
}


@pytest.mark.parametrize("how", CELLS)
def test_a_cell_that_compiles_its_model_does_so_once(
    how: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN a cell that makes, compiles, and calls a model, with a print on its line 8
    source = textwrap.dedent(f"""\
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(16, 16), nn.ReLU())

            def forward(self, x):
                x = self.layers(x)
                print("cell")
                return x + 1

        model = Net().eval()
        {CELLS[how]}
        for _ in range(3):
            model(x)
        """)
    filename = f"<cell with {how}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    names: dict[str, Any] = {"torch": torch, "nn": nn, "x": X}
    name_cells_by(lambda name: Cell("this cell") if name == filename else None)
    request.addfinalizer(lambda: name_cells_by(None))
    before = compilations()
    # WHEN it runs under watch, and is measured
    with watch(cell=source) as seen:
        exec(compile(source, filename, "exec"), names)
    after_cell = compilations()
    report = seen.session().report
    # THEN its calls are seen, and each of its two graphs was compiled once, in the cell
    found = report.compiled
    assert report.workload.calls == 3
    assert found is not None
    assert (found.graphs, found.recompiles) == (2, 0)
    assert after_cell - before == 2
    assert compilations() == after_cell
    assert [each.line for each in found.breaks] == ["this cell:8"]
    # AND the model that stays behind is not warned of hooks
    assert not [
        name for name in vars(global_hooks) if name.startswith("_global_") and vars(global_hooks)[name]
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names["model"](X)
    assert compilations() == after_cell


@pytest.mark.parametrize("by", ["function", "method"])
@pytest.mark.parametrize("asks", [False, True])
def test_a_compiled_model_with_a_call_of_its_own_is_compiled_once(
    by: str, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 16)

        def __call__(self, *args: Any) -> Any:
            return super().__call__(*args)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).relu()

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([Block(), Block()])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.blocks[1](self.blocks[0](x))

    # GIVEN compiled code that asks for global hooks, as that of PyTorch before 2.13 does, or is treated as if it did
    monkeypatch.setattr(module_hooks, "_CODE_ASKS", asks or module_hooks._CODE_ASKS)
    model: nn.Module = Two().eval()
    if by == "function":
        model = torch.compile(model, backend="eager")
    else:
        model.compile(backend="eager")
    model(X)
    before = compilations()
    # WHEN it is called with hooks, THEN they are told of it, of what comes after it, and nothing is compiled again
    told: list[str] = []
    with module_hooks.ModuleHooks(
        lambda module, _: told.append(type(module).__name__),
        lambda module, *_: told.append(f"end of {type(module).__name__}"),
    ):
        for _ in range(2):
            model(X)
        nn.Identity()(X)
    name = type(model).__name__
    own = told if asks else [each for each in told if each.split()[-1] != "Two" or name == "Two"]
    assert own == [*[name, f"end of {name}"] * 2, "Identity", "end of Identity"]
    # AND none is left behind, on the model neither
    assert not [
        each for each in vars(global_hooks) if each.startswith("_global_") and vars(global_hooks)[each]
    ]
    assert not model._forward_hooks
    # AND so it is when it is measured
    report = report_of(model)
    assert compilations() == before
    assert report.compiled is not None
    assert report.compiled.graphs == 1
    assert report.modules[0].calls == 1


def test_an_interrupted_call_of_a_compiled_model_leaves_no_hook_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @torch.compiler.disable
    def stop(x: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    class Stops(nn.Module):
        def __call__(self, *args: Any) -> Any:
            return super().__call__(*args)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return stop(x + 1)

    monkeypatch.setattr(module_hooks, "_CODE_ASKS", True)
    model = Stops().eval()
    model.compile(backend="eager")
    with pytest.raises(KeyboardInterrupt), module_hooks.ModuleHooks(lambda *_: None, lambda *_: None):
        model(X)
    assert not model._forward_hooks
    assert not [
        each for each in vars(global_hooks) if each.startswith("_global_") and vars(global_hooks)[each]
    ]


def test_an_accelerators_kernels_have_times(tmp_path: Path) -> None:
    made = MadeUpGpu()
    # another model's graph, which does not count
    with made.op("Torch-Compiled Region: 900/0"), made.op("Pregraph bytecode"):
        pass
    model = nn.Sequential(nn.Linear(4, 4))
    with made.range("jo:module:0"), made.op("Torch-Compiled Region: 900/0"):
        with made.op("Pregraph bytecode"):
            pass
        with made.range("## Call CompiledFxGraph abc ##"):
            made.launch("triton_poi_fused_add_relu_0", 30.0)
        made.launch("sgemm", 10.0)
    made.wait()
    found = compiled_parts(read(made.save(tmp_path / "trace.json")), [model], model, UserCode())
    assert found is not None
    assert found.graphs == 1
    assert found.share == pytest.approx(0.75)
    assert found.compiled_ms == pytest.approx(0.030)
    assert "not found" in found.reason
    seen = Seen.of(read(tmp_path / "trace.json"), 0)
    assert seen is not None
    assert seen.kernel_times(seen.rows_by_graph()["abc"]) == {"triton_poi_fused_add_relu_0": 30_000}


GENERATED = """\
triton_poi_fused_add_relu_0 = async_compile.triton('triton_poi_fused_add_relu_0', '''
''', device_str='cuda')
    def call(self, args):
        arg0_1, arg1_1, arg2_1 = args
        args.clear()
        s77 = arg1_1
        assert_size_stride(arg0_1, (16, 16), (16, 1), 'input')
        triton_poi_fused_add_relu_0.run(buf0, arg0_1, triton_poi_fused_add_relu_0_xnumel, stream=stream0)
        triton_poi_fused_add_relu_0.run(buf1, arg2_1, 64, stream=stream0)
"""


def test_generated_code_tells_kernels_and_what_they_read() -> None:
    source = GraphSource(GENERATED)
    (kernel,) = source.kernels()
    assert source.inputs == ("arg0_1", "arg2_1")
    assert (kernel.name, kernel.calls, kernel.reads) == (
        "triton_poi_fused_add_relu_0",
        2,
        {"arg0_1", "arg2_1"},
    )


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("cpp_fused__softmax_add_0", ("_softmax", "add")),
        ("triton_per_fused_mul_native_layer_norm_relu_12", ("mul", "native_layer_norm", "relu")),
        ("triton_poi_fused_mine_add_0", ("mine", "add")),
        ("sgemm", ()),
    ],
)
def test_a_kernels_name_tells_its_ops(name: str, ops: tuple[str, ...]) -> None:
    assert ops_of(name) == ops
