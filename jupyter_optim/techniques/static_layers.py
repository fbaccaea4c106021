"""Statically quantized layers: int8 weights by channel, and activations on scales that were found beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from jupyter_optim.hardware.isa import has_vnni
from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.int8_layers import kernels_of

ENGINE = (
    "onednn" if "onednn" in torch.backends.quantized.supported_engines else torch.backends.quantized.engine
)
"""Whose kernels: on x86 oneDNN's were 2 to 5 times as fast as FBGEMM's for the convolutions of a ResNet-18."""

WIDEST = 127 if has_vnni() else 64
"""The largest int8 weight. Without VNNI products are summed in 16 bits, in pairs: 2 * 255 * 64 fits. To take 7 bits
for activations instead lost more: MiniLM, all Linears in int8, has a cosine of 0.987 so, and had 0.984."""

_STEPS = 255

_SAMPLE = 1 << 16
"""Values of one call that are kept to find a grid."""
_MOST_VALUES = 2 * _SAMPLE
_SHRINKS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Parts of the range of values that are tried as the range of the scale."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The numbers that 8 bits stand for: ``(code - zero) * scale``, code from 0 to 255."""

    scale: float
    zero: int

    def facts(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


class ValueRange:
    """What values a tensor takes, call by call."""

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._samples: list[torch.Tensor] = []
        self._halved = 0
        self._generator = torch.Generator().manual_seed(0)

    @property
    def empty(self) -> bool:
        """Whether no call has given any value."""
        return not self._samples

    def add(self, tensor: torch.Tensor) -> None:
        """Take in the values of one call."""
        if tensor.numel() == 0:
            return
        low, high = torch.aminmax(tensor)
        self._low, self._high = min(self._low, float(low)), max(self._high, float(high))
        self._samples.append(self._some(tensor, min(tensor.numel(), _SAMPLE) >> self._halved))
        if sum(len(each) for each in self._samples) > _MOST_VALUES:
            # each call has its part in what is kept, however many there are
            together = torch.cat(self._samples)
            self._samples = [self._some(together, len(together) // 2)]
            self._halved += 1

    def _some(self, tensor: torch.Tensor, number: int) -> torch.Tensor:
        """Values drawn at random: steps of one length would meet the same few channels again and again."""
        flat = tensor.detach().flatten()
        if number >= len(flat):
            return flat.clone()
        return flat[torch.randint(len(flat), (max(1, number),), generator=self._generator)]

    def grid(self) -> Grid:
        """The grid of the least squared error on the values seen: rare extremes may be worth less than finer steps."""
        if not self._high - self._low > 0:
            return Grid(1.0, 0)
        values = torch.cat(self._samples)

        def error(low: float, high: float) -> float:
            return _error(values, _grid(low, high))

        high = min((self._high * part for part in _SHRINKS), key=lambda high: error(self._low, high))
        low = min((self._low * part for part in _SHRINKS), key=lambda low: error(low, high))
        return _grid(low, high)


def _grid(low: float, high: float) -> Grid:
    scale = max((high - low) / _STEPS, 1e-12)
    return Grid(scale, min(_STEPS, max(0, round(-low / scale))))


def _error(values: torch.Tensor, grid: Grid) -> float:
    codes = (values / grid.scale).round_().add_(grid.zero).clamp_(0, _STEPS)
    return float((codes.sub_(grid.zero).mul_(grid.scale) - values).square_().mean())


class _FloatLinear:
    """oneDNN's int8 product whose sums come out in float32, and are not rounded to 8 bits once more.

    A transformer's few large channels would cost all others their precision there: MiniLM keeps a cosine of 0.988
    with it, and 0.891 without, in the same time. For the convolutions of a ResNet-18 both are precise enough, and 8
    bits are a fifth faster.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.contents = weight, bias
        self._packed = torch.ops.onednn.qlinear_prepack(weight.int_repr(), None)
        self._scales = weight.q_per_channel_scales().float()
        self._zeros = torch.zeros_like(self._scales, dtype=torch.long)

    def __call__(self, codes: torch.Tensor, grid: Grid) -> torch.Tensor:
        # the same memory as plain bytes, which is what the kernel takes; `int_repr` would copy it
        plain = torch.empty(0, dtype=torch.uint8).set_(
            codes.untyped_storage(), codes.storage_offset(), codes.shape, codes.stride()
        )
        found: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            plain, grid.scale, grid.zero, self._packed, self._scales, self._zeros, self.contents[1],
            1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return found


def _codes(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    return torch.quantize_per_tensor(x.detach(), grid.scale, grid.zero, torch.quint8)


class StaticInt8(nn.Module):
    """A Linear or Conv2d whose arithmetic is in int8: float32 in and out.

    Args:
        layer: a float32 layer, not changed; a convolution pads with zeros.
        given: the grid of its inputs.
        made: the grid of its outputs, for a convolution; a Linear's are left in float32 where there is oneDNN.
        contiguous: give a convolution's outputs in the default memory format where its inputs have that; the kernel
            itself gives channels last.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, given: Grid, made: Grid, *, contiguous: bool = False
    ) -> None:
        super().__init__()
        self.given, self.made, self.contiguous = given, made, contiguous
        self.shape = tuple(layer.weight.shape)
        self.settings: tuple[Any, ...] = ()
        if isinstance(layer, nn.Conv2d):
            padding = layer.padding
            assert not isinstance(padding, str)  # the caller has looked
            self.settings = (list(layer.stride), list(padding), list(layer.dilation), layer.groups)
        weight, bias = layer.weight.detach(), layer._parameters["bias"]
        scales = (weight.flatten(1).abs().amax(1) / WIDEST).clamp_min(1e-12).double()
        codes = (weight / scales.view(-1, *[1] * (weight.dim() - 1)).float()).round().clamp(-WIDEST, WIDEST)
        self.pack(codes.to(torch.int8), scales, None if bias is None else bias.detach())

    def pack(self, weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Take other weights.

        Args:
            weight: int8, in the layer's shape.
            scales: float64, one for each output channel.
            bias: float32, one for each output channel, or None.
        """
        zeros = torch.zeros_like(scales, dtype=torch.long)
        with quiet(), kernels_of(ENGINE):
            made = torch._make_per_channel_quantized_tensor(weight, scales, zeros, 0)  # noqa: SLF001 (no public way)
            self.packed: Any = self._prepacked(made, bias)

    def _prepacked(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
        if self.settings:
            weight = weight.contiguous(memory_format=torch.channels_last)
            return torch.ops.quantized.conv2d_prepack(weight, bias, *self.settings)
        if ENGINE == "onednn":
            return _FloatLinear(weight, bias)
        return torch.ops.quantized.linear_prepack(weight, bias)

    def unpacked(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The weight, a quantized tensor, and the bias."""
        if isinstance(self.packed, _FloatLinear):
            return self.packed.contents
        unpack = torch.ops.quantized.conv2d_unpack if self.settings else torch.ops.quantized.linear_unpack
        found: tuple[torch.Tensor, torch.Tensor | None] = unpack(self.packed)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes as those of the layer."""
        if x.dim() < len(self.shape):
            return self.forward(x.unsqueeze(0)).squeeze(0)  # the kernels take batches only
        if isinstance(self.packed, _FloatLinear):
            return self.packed(_codes(x.contiguous(), self.given), self.given)
        codes = _codes(x, self.given)
        multiply = torch.ops.quantized.conv2d if self.settings else torch.ops.quantized.linear
        found: torch.Tensor = multiply(codes, self.packed, self.made.scale, self.made.zero).dequantize()
        return found.contiguous() if self.contiguous and x.is_contiguous() else found

    @property
    def weight(self) -> torch.Tensor:
        """The weights in float32, for code that reads them itself."""
        return self.unpacked()[0].dequantize()

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias, one for each output channel, or None."""
        return self.unpacked()[1]

    def multiply_adds(self, shape: Sequence[int]) -> int:
        """Multiplications for inputs of `shape`, (batch, channels, height, width) of a convolution."""
        if not self.settings:
            return math.prod(shape) * self.shape[0]
        strides, paddings, dilations, _ = self.settings
        sides: list[int] = [
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, kernel, stride, padding, dilation in zip(
                shape[2:], self.shape[2:], strides, paddings, dilations, strict=True
            )
        ]
        return shape[0] * math.prod(sides) * math.prod(self.shape)

    def packed_bytes(self) -> int:
        """Bytes of the packed weights, their scales and the bias."""
        return self.weight_count() + 20 * self.shape[0]

    def weight_count(self) -> int:
        """Numbers in the weight."""
        return int(torch.Size(self.shape).numel())

    def packed_parameters(self) -> int:
        """Weights and biases that it holds, though none is an `nn.Parameter`."""
        return self.weight_count() + (0 if self.bias is None else self.shape[0])

    def extra_repr(self) -> str:
        return f"weight={self.shape}, dtype=qint8, input scale={self.given.scale:.3g}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": self.unpacked()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        weight, bias = state["packed"]
        super().__setstate__({**state, "packed": None})  # type: ignore[no-untyped-call]
        with quiet(), kernels_of(ENGINE):
            self.packed = self._prepacked(weight, bias)
