"""Record the GPU traces in this folder: `python tests/profiling/recorded/record.py FOLDER`, on a machine with a GPU.

Small models of each kind of trouble, three calls each, and the steps of a training as a notebook's cell runs them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from torch import nn

import jupyter_optim as jo


class Convolutions(nn.Module):
    """float32 convolutions, which PyTorch lets tensor cores compute in TF32, and a float32 product, which it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 128, 3, padding=1), nn.ReLU()
        )  # fmt: skip
        self.head = nn.Linear(128, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Streams(nn.Module):
    """Two halves on two streams."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(2048, 2048), nn.Linear(2048, 2048)
        self.side = torch.cuda.Stream()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        main = torch.cuda.current_stream()
        self.side.wait_stream(main)
        with torch.cuda.stream(self.side):
            right = self.right(self.right(self.right(x)))
        left = self.left(self.left(self.left(x)))
        main.wait_stream(self.side)
        return left + right


class Waits(nn.Module):
    """It asks the GPU for a number after each layer, and copies from and to pageable memory."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(512, 512) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.cuda()
        for layer in self.layers:
            x = torch.relu(layer(x))
            if x.sum().item() < 0:
                x = -x
        return x.cpu()


class Compiled(nn.Module):
    """For `torch.compile`: one product, and elementwise work that it fuses."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(1024, 1024), nn.LayerNorm(1024)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.nn.functional.gelu(self.layer(x)) * 2 + x)


def models() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    """By name: a model on the GPU, and inputs for it."""
    yield "convolutions", Convolutions(), torch.randn(16, 3, 128, 128, device="cuda")
    yield "streams", Streams(), torch.randn(2048, 2048, device="cuda")
    yield "waits", Waits(), torch.randn(256, 512)
    small = [nn.Linear(64, 64) for _ in range(30)]
    yield "launches", nn.Sequential(*small), torch.randn(8, 64, device="cuda")
    half = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 2048)).to(torch.bfloat16)
    yield "bfloat16", half, torch.randn(1024, 2048, device="cuda", dtype=torch.bfloat16)
    compiled = Compiled()
    compiled.compile()
    yield "compiled", compiled, torch.randn(1024, 1024, device="cuda")


TRAINING = (
    """\
%load_ext jupyter_optim
import torch
from torch import nn
model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
model.cuda()(torch.zeros(1, 3, 32, 32, device="cuda"))
data = torch.utils.data.TensorDataset(torch.randn(640, 3, 32, 32), torch.randint(0, 10, (640,)))
loader = torch.utils.data.DataLoader(data, batch_size=32)
optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
loss_of = nn.CrossEntropyLoss()""",
    """\
%%optimize --trace training.json.gz
for images, labels in loader:
    images, labels = images.cuda(), labels.cuda()
    optimizer.zero_grad()
    loss = loss_of(model(images), labels)
    loss.backward()
    optimizer.step()
    total = loss.item()""",
)


def record_training(folder: Path) -> None:
    """A training as a notebook's cell; raises what the cell raises."""
    book: Any = new_notebook(cells=[new_code_cell(each) for each in TRAINING])
    NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    nbformat.write(book, folder / "training.ipynb")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name, model, inputs in models():
        with torch.no_grad():
            session = jo.optimize(model.cuda().eval(), inputs)
            session.write_trace(folder / f"{name}.json.gz")
        session.report.save(folder / f"{name}.report.json")
        print(session.report.latency.median_ms, name)
    record_training(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
