"""Work beside a cell, of known cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


def burn(cpu_s: float) -> None:
    """Keep this thread busy for so much CPU time."""
    until = time.thread_time() + cpu_s
    some = np.ones(2000)
    while time.thread_time() < until:
        some.sum()


class Dear(Dataset):  # type: ignore[type-arg]
    """Items that take CPU time."""

    def __init__(self, count: int, cpu_s: float) -> None:
        self.count, self.cpu_s = count, cpu_s

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        burn(self.cpu_s)
        return torch.ones(64), torch.ones(8)


def loader(items: int, cpu_s: float) -> DataLoader:  # type: ignore[type-arg]
    """Two workers, a batch of two; nothing in it has to be importable by them."""
    return DataLoader(Dear(items, cpu_s), 2, num_workers=2, multiprocessing_context="fork")


@contextmanager
def busy_thread(name: str, cpu_s: float) -> Iterator[None]:
    """A thread that has taken so much CPU time when the block begins, and lives on until it ends."""
    done, end = threading.Event(), threading.Event()

    def work() -> None:
        burn(cpu_s)
        done.set()
        end.wait()

    thread = threading.Thread(target=work, name=name)
    thread.start()
    done.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()
