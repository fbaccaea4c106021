"""Lines as `sys.monitoring` tells of them: those that `sys.settrace` would, and nothing of it is left."""

from __future__ import annotations

import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jupyter_optim.profiling.lines import open_lines
from jupyter_optim.profiling.lines.monitoring import available
from jupyter_optim.profiling.lines.ranges import LineRanges
from jupyter_optim.profiling.lines.user_code import Cell, UserCode
from jupyter_optim.profiling.trace.columns import LINE_RANGE

if not available():
    pytest.skip("Python has no sys.monitoring", allow_module_level=True)

CELL, LIBRARY = "<cell under test>", "<library under test>"


def cell_of(filename: str) -> Cell | None:
    return Cell("this cell") if filename == CELL else None


class Cells(UserCode):
    """Takes no file for the user's: this one has functions that are called meanwhile."""

    def _local_file(self, filename: str) -> Cell | None:
        return None


def run(source: str, names: dict[str, Any] | None = None, filename: str = CELL) -> dict[str, Any]:
    names = {} if names is None else names
    exec(compile(textwrap.dedent(source).strip(), filename, "exec"), names)
    return names


def following(monitoring: bool = True, **options: Any) -> LineRanges:
    return LineRanges(Cells(cell_of), monitoring=monitoring, **options)


def numbers(lines: LineRanges) -> set[int]:
    return {number for _, number in lines.lines}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Each range that is opened or closed, in turn: its name with + or - before it."""
    events: list[tuple[str, str]] = []

    class Noted:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            events.append(("+", self.name))

        def __exit__(self, *_: object) -> None:
            events.append(("-", self.name))

    monkeypatch.setattr(open_lines, "_Range", Noted)
    return events


@pytest.fixture
def tool() -> Iterator[Callable[..., int]]:
    """Takes an id of `sys.monitoring`, for as long as the test runs."""
    monitoring, taken = sys.monitoring, []

    def take(number: int, events: int = 0) -> int:
        monitoring.use_tool_id(number, "under test")
        taken.append(number)
        monitoring.set_events(number, events)
        return number

    yield take
    for each in taken:
        monitoring.set_events(each, 0)
        monitoring.free_tool_id(each)


# Generators are named gen: where they start, `sys.settrace` has a range for their `def`, in which no time is spent.
SNIPPETS = {
    "generators": """
        def gen():
            x = 1
            yield x
            y = 2
            yield y
        a = gen()
        next(a)
        z = 1
        next(a)
        a.close()
        b = gen()
        next(b)
        try:
            b.throw(ValueError)
        except ValueError:
            z = 2
        for each in gen():
            z = each
        """,
    "generators that catch": """
        def gen():
            while True:
                try:
                    yield 1
                except ValueError:
                    q = 2
                finally:
                    q = 3
        def gen_around():
            r = yield from gen()
            return r
        a = gen_around()
        next(a)
        a.throw(ValueError)
        q = 1
        a.close()
        """,
    "a generator within a line": """
        xs = (n for n in range(9))
        next(xs)
        ys = list(
            n
            for n in xs
        )
        """,
    "recursion, and an exception that a caller catches": """
        def dive(n):
            if n == 0:
                raise ValueError
            x = n
            return dive(n - 1)
        def caught(n):
            try:
                dive(n)
            except ValueError:
                y = n
            return y
        caught(3)
        caught(0)
        """,
    "coroutines": """
        import asyncio
        async def gen_step(n):
            await asyncio.sleep(0)
            x = n
            return x
        async def gen_numbers():
            for i in range(3):
                yield i
                await asyncio.sleep(0)
        async def gen_main():
            r = await asyncio.gather(gen_step(1), gen_step(2))
            async for q in gen_numbers():
                r = q
            return r
        loop = asyncio.new_event_loop()
        loop.run_until_complete(gen_main())
        loop.close()
        """,
    "functions of one line": """
        xs = [i * 2 for i in range(3)]
        xs = sorted(xs, key=lambda v: -v)
        def one(v): return (
            v + 1)
        for _ in range(3): one(1)
        class Kind:
            a = 1
            def b(self): return self.a
            @property
            def c(self): return self.b()
        k = Kind()
        k.c
        k.c
        """,
    "loops and blocks": """
        x = 0
        while x < 3: x += 1
        for i in range(3):
            x += i
            if x > 4:
                continue
        with open(
            "/dev/null"
        ) as file:
            file.read()
        try: 1 / 0
        except ZeroDivisionError: x = 1
        """,
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_ranges_are_those_of_settrace(name: str, opened: list[tuple[str, str]]) -> None:
    source = textwrap.dedent(SNIPPETS[name]).strip()
    found = []
    for monitoring in (False, True):
        opened.clear()
        with following(monitoring) as lines:
            run(source)
        places = [(sign, lines.lines[int(name.removeprefix(LINE_RANGE))][1]) for sign, name in opened]
        texts = [(sign, number, source.splitlines()[number - 1]) for sign, number in places]
        found.append([each for each in texts if not each[2].removeprefix("async ").startswith("def gen")])
    assert found[1] == found[0]
    assert len(found[1]) > 10


def test_a_generator_that_was_begun_before_is_met_where_it_goes_on() -> None:
    names = run("def gen():\n    x = 1\n    yield x\n    x = 2\n    yield x\na = gen()\nnext(a)")
    with following() as lines:
        next(names["a"])
    assert numbers(lines) == {3, 4, 5}


def test_lines_of_other_threads_are_left_alone() -> None:
    names = run("def there():\n    x = 1\n    return x\ndef here():\n    x = 2\n    return x")

    def call(function: Callable[[], Any]) -> None:
        other = threading.Thread(target=function)
        other.start()
        other.join()

    with following() as lines:
        # WHEN another thread runs them: first of all, and after this one has
        call(names["there"])
        call(names["here"])
        before = numbers(lines)
        names["here"]()
        left = lines._open.left
        call(names["here"])
    # THEN only what this one ran has ranges
    assert before == set()
    assert numbers(lines) == {5, 6}
    assert lines._open.left == left


def test_nothing_is_left_on(tool: Callable[..., int]) -> None:
    monitoring = sys.monitoring
    function = run("def f(n):\n    return f(n - 1) if n else 1")["f"]
    ended: list[bool] = []
    with following(on_end=lambda: ended.append(True)):
        held = [each for each in range(6) if monitoring.get_tool(each) is not None]
        function(3)
        assert len(held) == 1
        assert monitoring.get_local_events(held[0], function.__code__)
    assert ended == [True]
    assert [monitoring.get_tool(each) for each in range(6)] == [None] * 6
    number = tool(held[0])
    assert monitoring.get_events(number) == 0
    assert monitoring.get_local_events(number, function.__code__) == 0


def test_it_can_be_entered_again() -> None:
    function = run("def f(n):\n    return f(n - 1) if n else 1")["f"]
    lines = following()
    for _ in range(3):
        with lines:
            function(3)
        assert lines._open.left == open_lines.LINE_BUDGET - 4
    assert numbers(lines) == {2}


def test_it_ends_when_the_budget_is_spent_amid_a_line() -> None:
    ended: list[bool] = []
    lines = following(on_end=lambda: ended.append(True))
    with lines:
        names = run(f"n = 0\nwhile n < {open_lines.LINE_BUDGET}:\n    a = n\n    n += 1")
        assert not lines.running
        assert ended == [True]
        assert all(sys.monitoring.get_tool(each) is None for each in range(6))
    assert names["n"] == open_lines.LINE_BUDGET
    assert ended == [True]


def test_it_ends_when_the_time_expires_though_only_a_library_runs() -> None:
    # GIVEN a line of the user's that is long in code of a library
    spin = run(
        """
        def step():
            pass
        def spin(lines, until):
            while lines._running and clock() < until:
                step()
        """,
        {"clock": time.perf_counter}, LIBRARY,
    )["spin"]  # fmt: skip
    lines = following()

    def expire() -> None:
        lines.expired = True

    other = threading.Timer(0.05, expire)
    with lines:
        # WHEN another thread says that the time has expired
        other.start()
        run("spin(lines, until)", {"spin": spin, "lines": lines, "until": time.perf_counter() + 20})
        # THEN the tracing ends there
        assert not lines.running
    other.join()


@pytest.mark.parametrize("which", ["DEBUGGER_ID", "COVERAGE_ID"])
def test_it_gives_way_to_a_debugger_or_a_coverage_tool(which: str, tool: Callable[..., int]) -> None:
    number = tool(getattr(sys.monitoring, which), sys.monitoring.events.PY_START)
    with following() as lines:
        run("x = 1")
        assert not lines.running
    assert "debugger or a coverage tool" in lines.obstacle
    assert lines.lines == []
    assert sys.monitoring.get_events(number) == sys.monitoring.events.PY_START


def test_a_debugger_that_waits_is_not_in_the_way(tool: Callable[..., int]) -> None:
    tool(sys.monitoring.DEBUGGER_ID)
    with following() as lines:
        run("x = 1")
    assert lines.obstacle is None
    assert numbers(lines) == {1}


def test_it_takes_another_id_where_one_is_held_and_says_so_where_none_is_left(
    tool: Callable[..., int],
) -> None:
    for each in (4, 3, 5):
        tool(each)
    with following() as lines:
        run("x = 1")
    assert numbers(lines) == {1}
    tool(sys.monitoring.PROFILER_ID)
    with following() as lines:
        run("x = 1")
    assert "other tools" in lines.obstacle
    assert lines.lines == []


def test_a_cell_can_use_a_profiler_of_pythons() -> None:
    with following() as lines:
        run("import cProfile\nprofile = cProfile.Profile()\nprofile.enable()\nx = 1\nprofile.disable()")
    assert numbers(lines) == {1, 2, 3, 4, 5}


def test_one_within_another_gives_way() -> None:
    with following() as lines:
        with following() as inner:
            run("x = 1")
        run("x = 1\ny = 2")
    assert inner.obstacle is not None
    assert numbers(lines) == {1, 2}
