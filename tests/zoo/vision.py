"""Convolutional networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tests.zoo.entry import Built, Entry, entry


def conv_norm(before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (but for its stride), its normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class DigitsCNN(nn.Module):
    """LeNet for scikit-learn's 8 x 8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * 4 * 4, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class BasicBlock(nn.Module):
    """The residual block of ResNet-18."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet(nn.Module):
    """ResNet with basic blocks; the standard stem, or a small one for small pictures."""

    def __init__(self, blocks: tuple[int, ...], width: int, classes: int, small: bool = False) -> None:
        super().__init__()
        self.stem = (
            conv_norm(3, width)
            if small
            else nn.Sequential(conv_norm(3, width, kernel=7, stride=2), nn.MaxPool2d(3, 2, 1))
        )
        stages, before = [], width
        for index, count in enumerate(blocks):
            after, stride = width * 2**index, 1 if index == 0 else 2
            stages.append(
                nn.Sequential(
                    BasicBlock(before, after, stride), *(BasicBlock(after, after) for _ in range(count - 1))
                )
            )
            before = after
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.adaptive_avg_pool2d(self.stages(self.stem(x)), 1).flatten(1))


class InvertedResidual(nn.Module):
    """MobileNet's block: widen, depthwise, squeeze and excite, narrow."""

    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        inner = width * expansion
        self.widen = nn.Sequential(
            nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.Hardswish()
        )
        self.depthwise = conv_norm(inner, inner, groups=inner)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inner, 8, 1),
            nn.ReLU(),
            nn.Conv2d(8, inner, 1),
            nn.Hardsigmoid(),
        )
        self.narrow = nn.Sequential(nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.depthwise(self.widen(x))
        return x + self.narrow(inner * self.squeeze(inner))


class ShuffledGroups(nn.Module):
    """Grouped convolutions with a channel shuffle: views that pruning must understand."""

    def __init__(self, width: int = 32, groups: int = 4) -> None:
        super().__init__()
        self.groups = groups
        self.enter = conv_norm(3, width)
        self.first = conv_norm(width, width, groups=groups)
        self.second = conv_norm(width, width, groups=groups)
        self.fc = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.enter(x))
        batch, width, height, breadth = x.shape
        x = x.view(batch, self.groups, width // self.groups, height, breadth).transpose(1, 2).reshape(x.shape)
        return self.fc(self.second(x).mean((2, 3)))


class UNet(nn.Module):
    """Two levels down and up, with skips and transposed convolutions."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.down1, self.down2 = conv_norm(1, width), conv_norm(width, 2 * width)
        self.bottom = conv_norm(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.join2 = conv_norm(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join1 = conv_norm(2 * width, width)
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        x = self.bottom(F.max_pool2d(second, 2))
        x = self.join2(torch.cat([self.up2(x), second], 1))
        return self.out(self.join1(torch.cat([self.up1(x), first], 1)))


class DenseBlock(nn.Module):
    """Each layer reads all layers before it."""

    def __init__(self, growth: int = 8, depth: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, growth, 3, padding=1)
        self.layers = nn.ModuleList(conv_norm(growth * (i + 1), growth) for i in range(depth))
        self.fc = nn.Linear(growth * (depth + 1), 10)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.enter(x)]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, 1)))
        return self.fc(torch.cat(seen, 1).mean((2, 3)))


class GroupNormAttention(nn.Module):
    """A block of a diffusion model: group norm, attention over pixels, residual."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.GroupNorm(8, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.proj = nn.Conv2d(width, width, 1)
        self.leave = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        batch, _, height, breadth = x.shape
        q, k, v = (
            self.qkv(self.norm(x))
            .view(batch, 3, self.heads, -1, height * breadth)
            .transpose(-1, -2)
            .unbind(1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(x.shape)
        return self.leave(F.silu(x + self.proj(mixed)))


class FrozenBatchNorm(nn.Module):
    """Fine-tuning as many do it: `train()` leaves the normalisation in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(conv_norm(3, 16), conv_norm(16, 32, stride=2))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 5))

    def train(self, mode: bool = True) -> FrozenBatchNorm:
        super().train(mode)
        for module in self.features.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


def _digits_cnn() -> Built:
    return DigitsCNN(), torch.rand(32, 1, 8, 8)


def _resnet18() -> Built:
    return ResNet((2, 2, 2, 2), 64, 1000), torch.randn(1, 3, 224, 224)


def _resnet_small() -> Built:
    return ResNet((1, 1, 1), 16, 10, small=True), torch.randn(4, 3, 32, 32)


def _resnet_channels_last() -> Built:
    model, inputs = _resnet_small()
    return model.to(memory_format=torch.channels_last), inputs.contiguous(memory_format=torch.channels_last)


def _mobilenet() -> Built:
    body = nn.Sequential(conv_norm(3, 16, stride=2), InvertedResidual(16), InvertedResidual(16))
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)), torch.randn(
        2, 3, 32, 32
    )


def _vgg() -> Built:
    features = [conv_norm(3, 16), nn.MaxPool2d(2), conv_norm(16, 32), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(32 * 8 * 8, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10)]
    return nn.Sequential(*features, *head), torch.randn(4, 3, 32, 32)


def _shuffled_groups() -> Built:
    return ShuffledGroups(), torch.randn(4, 3, 16, 16)


def _unet() -> Built:
    return UNet(), torch.randn(2, 1, 32, 32)


def _densenet() -> Built:
    return DenseBlock(), torch.randn(4, 3, 16, 16)


def _groupnorm_attention() -> Built:
    return GroupNormAttention(), torch.randn(2, 3, 12, 12)


def _frozen_batchnorm() -> Built:
    return FrozenBatchNorm(), torch.randn(4, 3, 16, 16)


def _conv1d() -> Built:
    layers: list[nn.Module] = []
    for dilation, before in ((1, 6), (2, 32), (4, 32)):
        layers += [
            nn.Conv1d(before, 32, 3, padding=dilation, dilation=dilation),
            nn.BatchNorm1d(32),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(32, 5)), torch.randn(
        8, 6, 128
    )


def _conv3d() -> Built:
    body = [nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, 3)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 3)), torch.randn(
        2, 1, 12, 16, 16
    )


def _super_resolution() -> Built:
    body = [nn.Conv2d(3, 24, 5, padding=2), nn.InstanceNorm2d(24, affine=True), nn.PReLU(24)]
    return nn.Sequential(*body, nn.Conv2d(24, 12, 3, padding=1), nn.PixelShuffle(2)), torch.rand(1, 3, 24, 24)


ENTRIES: tuple[Entry, ...] = (
    entry("digits-cnn", _digits_cnn, "vision", "tiny"),
    entry("resnet18", _resnet18, "vision", "slow"),
    entry("resnet-small", _resnet_small, "vision"),
    entry("resnet-training", _resnet_small, "vision", "stateful", training=True),
    entry("resnet-channels-last", _resnet_channels_last, "vision"),
    entry("mobilenet", _mobilenet, "vision"),
    entry("vgg", _vgg, "vision"),
    entry("shuffled-groups", _shuffled_groups, "vision"),
    entry("unet", _unet, "vision"),
    entry("densenet", _densenet, "vision"),
    entry("groupnorm-attention", _groupnorm_attention, "vision", "attention"),
    entry("frozen-batchnorm", _frozen_batchnorm, "vision", "random", training=True),
    entry("conv1d", _conv1d, "vision"),
    entry("conv3d", _conv3d, "vision"),
    entry("super-resolution", _super_resolution, "vision"),
)
