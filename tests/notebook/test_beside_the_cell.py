"""Workers and threads that a notebook's cell starts, in its displayed report."""

from __future__ import annotations

import sys

import pytest

from jupyter_optim.report import MIME_TYPE as REPORT

SET_UP = """\
%load_ext jupyter_optim
import threading, time
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

def burn(cpu_s):
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass

class Images(Dataset):
    def __len__(self):
        return 96
    def __getitem__(self, index):
        burn(0.03)
        return torch.randn(32)

model = nn.Sequential(nn.Linear(32, 32), nn.ReLU()).eval()
batches = DataLoader(Images(), 4, num_workers=2, multiprocessing_context="fork")
all_read = threading.Event()

def crawl():
    burn(0.3)
    all_read.wait()
"""
CELL = """\
%%optimize
crawler = threading.Thread(target=crawl, name="crawler")
crawler.start()
with torch.inference_mode():
    scores = [model(batch) for batch in batches]
all_read.set()
crawler.join()
len(scores)"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the CPU time of a thread")
def test_a_cell_with_workers_and_a_thread(new_notebook):
    notebook = new_notebook()
    assert not notebook.run(SET_UP).failed
    ran = notebook.run(CELL)
    assert not ran.failed, ran.outputs
    assert ran.result == "24"
    report = ran.displays(REPORT)[0]
    found = {worker["name"]: worker for worker in report["unseen"]["workers"]}
    assert found["DataLoader worker"]["count"] in (1, 2)
    assert found["DataLoader worker"]["cpu_s"] >= 2.8
    # what it did after it was last looked at is lost
    assert found["crawler"]["cpu_s"] > 0.02
    assert "unseen-work" in [finding["kind"] for finding in report["findings"]]
    assert "DataLoader worker" in ran.html
    assert "<code>crawler</code>" in ran.html
    assert not ran.stream("stderr")
