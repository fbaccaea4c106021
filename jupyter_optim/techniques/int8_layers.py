"""Dynamically quantized layers: int8 weights by channel, activations quantized as they come."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from jupyter_optim.hardware.isa import has_vnni


@contextmanager
def kernels_of(engine: str) -> Iterator[None]:
    """Weights packed meanwhile are for this engine's kernels: ``onednn``, ``fbgemm`` or ``x86``."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def engines() -> tuple[str, ...]:
    """Engines of this build of torch that have a dynamic int8 kernel, the user's choice first."""
    chosen = torch.backends.quantized.engine
    # x86 packs Linear weights for fbgemm
    other = "onednn" if chosen != "onednn" else "fbgemm"
    return (chosen, other) if other in torch.backends.quantized.supported_engines else (chosen,)


class Int8Linear(nn.Module):
    """``y = x W^T + b`` with W in int8, a scale for each output channel, and x quantized per call.

    Args:
        linear: a float32 layer, not changed. Weight shape: (out_features, in_features).
        outliers: numbers of input channels that are left in float32, or None. Activations get one scale per
            tensor, so a few large channels (after a LayerNorm or a GELU) cost all others their precision;
            keeping those apart is the idea of LLM.int8() (Dettmers et al., arXiv 2208.07339).
        engine: whose kernels; see `engines`.
    """

    outliers: torch.Tensor | None
    mask: torch.Tensor
    exact: torch.Tensor

    def __init__(
        self, linear: nn.Linear, outliers: torch.Tensor | None = None, engine: str | None = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach()
        self.register_buffer("outliers", outliers)
        if outliers is not None:
            self.register_buffer("mask", torch.ones(linear.in_features).index_fill(0, outliers, 0))
            self.register_buffer("exact", weight[:, outliers].t().contiguous())
            weight = weight * self.mask
        scales = (weight.abs().amax(1) / 127).clamp_min(1e-12).double()
        zeros = torch.zeros_like(scales, dtype=torch.long)
        with warnings.catch_warnings():
            # torch 2.13 says of all quantized tensors that they will be removed; these kernels know no other
            warnings.simplefilter("ignore")
            packed = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        bias = linear._parameters["bias"]
        own = None if bias is None else bias.detach()
        self.engine = engine or torch.backends.quantized.engine
        with kernels_of(self.engine):
            self.packed: Any = torch.ops.quantized.linear_prepack(packed, own)
        # Without VNNI, int8 products are summed in 16 bits, and activations must keep to 7 bits
        self.reduce_range = not has_vnni()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes as `nn.Linear`: (..., in_features) to (..., out_features)."""
        if x.dim() == 1:
            return self.forward(x.unsqueeze(0)).squeeze(0)  # the kernel takes rows only
        x = x.detach()  # the kernel passes no gradients
        if self.outliers is None:
            out: torch.Tensor = torch.ops.quantized.linear_dynamic(x, self.packed, self.reduce_range)
            return out
        y: torch.Tensor = torch.ops.quantized.linear_dynamic(x * self.mask, self.packed, self.reduce_range)
        apart = x.index_select(-1, self.outliers).flatten(0, -2)
        return y.view(-1, self.out_features).addmm_(apart, self.exact).view(y.shape)

    def unpacked(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The weight, a quantized tensor of shape (out_features, in_features), and the bias."""
        found: tuple[torch.Tensor, torch.Tensor | None] = torch.ops.quantized.linear_unpack(self.packed)
        return found

    @property
    def weight(self) -> torch.Tensor:
        """The weights in float32, shape (out_features, in_features), for code that reads them itself."""
        weight = self.unpacked()[0].dequantize()
        return weight if self.outliers is None else weight.index_copy(1, self.outliers, self.exact.t())

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias, shape (out_features,), or None."""
        return self.unpacked()[1]

    def packed_bytes(self) -> int:
        """Bytes of the packed weights, their scales and the bias; buffers are counted apart."""
        return self.in_features * self.out_features + 16 * self.out_features + 4 * self.out_features

    def packed_parameters(self) -> int:
        """Weights and biases that it holds, `nn.Parameter` or not."""
        return self.in_features * self.out_features + (0 if self.bias is None else self.out_features)

    def pack(self, weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Take other weights.

        Args:
            weight: int8, shape (out_features, in_features).
            scales: float64, shape (out_features,).
            bias: float32, shape (out_features,), or None.
        """
        zeros = torch.zeros_like(scales, dtype=torch.long)
        with warnings.catch_warnings(), kernels_of(self.engine):
            warnings.simplefilter("ignore")
            made = torch._make_per_channel_quantized_tensor(weight, scales, zeros, 0)  # noqa: SLF001 (no public way)
            self.packed = torch.ops.quantized.linear_prepack(made, bias)

    def extra_repr(self) -> str:
        kept = "" if self.outliers is None else f", {len(self.outliers)} channels in float32"
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype=qint8{kept}"

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["packed"] = self.unpacked()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        weight, bias = state["packed"]
        with kernels_of(state["engine"]):
            packed = torch.ops.quantized.linear_prepack(weight, bias)
        super().__setstate__({**state, "packed": packed})  # type: ignore[no-untyped-call]


class Bf16Linear(nn.Linear):
    """``y = x W^T + b`` in bfloat16, of float32 inputs, to outputs of the inputs' type.

    Args:
        linear: a float32 layer, not changed. Weight shape: (out_features, in_features).
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)  # the parameters come from `linear`: none are to be made
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = nn.Parameter(linear.weight.detach().bfloat16(), requires_grad=False)
        bias = linear._parameters["bias"]
        self.register_parameter(
            "bias", None if bias is None else nn.Parameter(bias.detach().bfloat16(), requires_grad=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes as `nn.Linear`: (..., in_features) to (..., out_features)."""
        return nn.functional.linear(x.detach().bfloat16(), self.weight, self.bias).to(x.dtype)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype=bfloat16"


def quantized_rnn(rnn: nn.LSTM | nn.GRU) -> nn.Module:
    """torch.ao's dynamically quantized LSTM or GRU with the weights of `rnn`, which is not changed."""
    from torch.ao.nn.quantized import dynamic  # noqa: PLC0415 (0.3 s)
    from torch.ao.quantization import default_dynamic_qconfig  # noqa: PLC0415

    kind = dynamic.LSTM if isinstance(rnn, nn.LSTM) else dynamic.GRU
    own = copy.copy(rnn)
    own.qconfig = default_dynamic_qconfig
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: nn.Module = kind.from_float(own)  # type: ignore[no-untyped-call]
    return made
