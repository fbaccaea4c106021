"""Who takes CPU time beside the thread that is measured."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from jupyter_optim.hardware import bystanders
from jupyter_optim.hardware.bystanders import Bystanders
from jupyter_optim.report import Unseen, Worker
from tests.beside import burn, busy_thread, loader

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the CPU time of a thread")


def one(unseen: Unseen | None, name: str) -> Worker:
    assert unseen is not None
    found = [worker for worker in unseen.workers if worker.name == name]
    assert len(found) == 1, unseen
    return found[0]


@on_linux
def test_a_thread_is_counted_with_what_it_takes() -> None:
    with ExitStack() as alive, Bystanders() as seen:
        alive.enter_context(busy_thread("fetch", 0.3))
        burn(0.3)
    worker = one(seen.unseen, "fetch")
    assert worker.cpu_s == pytest.approx(0.3, rel=0.1)
    assert (worker.process, worker.count) == (False, 1)
    assert seen.unseen.share == pytest.approx(0.5, rel=0.2)


@on_linux
def test_what_a_thread_took_before_does_not_count() -> None:
    with busy_thread("early", 0.3), Bystanders() as seen:
        burn(0.1)
    assert [worker.name for worker in seen.unseen.workers] == []


@on_linux
def test_threads_that_end_meanwhile_are_named_by_what_they_run() -> None:
    with Bystanders() as seen:
        threads = [threading.Thread(target=burn, args=(0.3,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    worker = one(seen.unseen, "burn")
    assert worker.count in (1, 2)
    # what they did after they were last looked at is lost
    assert 0.02 < worker.cpu_s < 0.7


@pytest.mark.parametrize("listed_by", ["linux", "psutil"])
def test_workers_of_a_data_loader_are_told_as_such(listed_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if listed_by == "psutil":
        monkeypatch.setattr(Path, "exists", lambda path: False)
    with Bystanders() as seen:
        for _ in loader(24, 0.1):
            pass
    worker = one(seen.unseen, "DataLoader worker")
    assert worker.process
    assert worker.count in (1, 2)
    # also what they did after they were last looked at
    assert worker.cpu_s >= 2.3
    assert seen.unseen.share > 0.5


def test_a_process_that_was_there_before_counts_from_then_on() -> None:
    code = (
        "import sys, time\n"
        "def burn(s):\n"
        "    until = time.process_time() + s\n"
        "    while time.process_time() < until: pass\n"
        "burn(1.0); print(flush=True); input(); burn(0.3)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child.stdout.readline()
    with Bystanders() as seen:
        child.communicate("go on\n")
    assert seen.unseen.cpu_s == pytest.approx(0.3, abs=0.15)
    assert all(worker.process for worker in seen.unseen.workers)


def test_processes_too_short_to_be_looked_at_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bystanders, "_INTERVAL_S", 60.0)
    with Bystanders() as seen:
        subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    (worker,) = seen.unseen.workers
    assert (worker.process, worker.count) == (True, None)
    assert worker.cpu_s > 0.05


def test_nobody_beside() -> None:
    with Bystanders() as seen:
        burn(0.3)
    assert seen.unseen.workers == ()
    assert seen.unseen.share < 0.05
    assert seen.unseen.reason is None or sys.platform != "linux"


def test_where_threads_cannot_be_told_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(clock: int) -> float:
        raise OSError(clock)

    monkeypatch.setattr(time, "clock_gettime", refuse)
    with ExitStack() as alive, Bystanders() as seen:
        alive.enter_context(busy_thread("fetch", 0.2))
        for _ in loader(24, 0.1):
            pass
    assert "fetch" not in [worker.name for worker in seen.unseen.workers]
    assert seen.unseen.workers[0].process
    assert "threads" in seen.unseen.reason
