"""scikit-learn's digits and a CNN that reads them: real data, without a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Digits:
    """1,797 images of 8 x 8, a quarter of them kept for the examination."""

    images: torch.Tensor
    labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor

    @classmethod
    def load(cls) -> Digits:
        """The data, split as in the example notebook."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
        split = train_test_split(
            images, torch.tensor(digits.target), test_size=0.25, random_state=0, stratify=digits.target
        )
        return cls(split[0], split[2], split[1], split[3])

    def train(self, model: nn.Module, epochs: int = 6, rate: float = 3e-3) -> None:
        """Train `model` in place, and leave it in evaluation mode."""
        batches = range(0, len(self.images), 64)
        optimizer = torch.optim.AdamW(model.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * len(batches))
        model.train()
        for _ in range(epochs):
            order = torch.randperm(len(self.images))
            for start in batches:
                chosen = order[start : start + 64]
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(self.images[chosen]), self.labels[chosen]).backward()
                optimizer.step()
                schedule.step()
        model.eval()

    def accuracy(self, model: nn.Module) -> float:
        """The share of the test images that are read right."""
        with torch.inference_mode():
            return (model(self.test_images).argmax(1) == self.test_labels).float().mean().item()


def network() -> nn.Module:
    """The CNN of the example notebook, untrained: 262,000 parameters."""

    def block(channels_in: int, channels_out: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )

    return nn.Sequential(
        block(1, 64), block(64, 64), nn.MaxPool2d(2), block(64, 128), block(128, 128),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
