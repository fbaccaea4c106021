"""How fast a device multiplies matrices, by type: a multiplication and an addition count as two operations."""

from __future__ import annotations

from collections.abc import Callable

import torch

from jupyter_optim.hardware.race import Race, Rate, synchronizer
from jupyter_optim.progress import Progress
from jupyter_optim.quiet import quiet

FLOAT_TYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
INT8 = "int8"
TF32 = "tf32"
"""float32 that a GPU's tensor cores multiply with the mantissa of float16 (PyTorch's default for convolutions)."""

_SIDES, _MANY_THREADS = (512, 1024, 2048), 8
_GPU_SIDES = (2048, 4096, 8192)
_ROUND_S = 0.05
_TOO_SLOW_S = 0.02
"""Beyond this time of one product a larger one tells nothing new, and costs eight times as much."""

Product = Callable[[], object]


class Matmul:
    """Square products of one kind in growing sizes: small ones do not fill a machine, large ones leave its caches.

    The matrices are made once, the first time that they are needed, and then timed pass by pass.
    """

    def __init__(
        self, name: str, device: torch.device, make: Callable[[int], Product], sides: tuple[int, ...]
    ) -> None:
        self._name, self._device, self._make, self._sides = name, device, make, sides
        self._products: dict[int, Product] = {}
        self._best_s: dict[int, float] = {}
        self._obstacle: str | None = None

    def rate(self, progress: Progress) -> Rate | str:
        """Time the products once more: the best rate so far, or why there is none."""
        race = Race(synchronizer(self._device), progress, _ROUND_S)
        for side in self._sides:
            try:
                if side not in self._products:
                    self._products[side] = self._make(side)
                took_s = race.best_s(self._products[side])
            except (RuntimeError, NotImplementedError) as error:
                self._obstacle = f"torch cannot: {_first_line(error)}"
                break
            self._best_s[side] = min(took_s, self._best_s.get(side, took_s))
            if self._best_s[side] > _TOO_SLOW_S:
                break
        if not self._best_s:
            return self._obstacle or "nothing was measured"
        rates = {side: 2 * side**3 / best_s for side, best_s in self._best_s.items()}
        side = max(rates, key=lambda each: rates[each])
        return Rate(rates[side], f"{self._name} of {side} x {side}")


def contests(device: torch.device) -> dict[str, tuple[Matmul, ...]]:
    """By type: the ways in which torch multiplies it on `device`."""
    sides = _sides(device)
    found = {name: (_float(dtype, device, sides),) for name, dtype in FLOAT_TYPES.items()}
    whole = Matmul("torch._int_mm", device, lambda side: _whole(side, device), sides)
    if device.type != "cpu":
        return {**found, TF32: (Matmul("torch.mm in TF32", device, _rounded(device), sides),), INT8: (whole,)}
    # what dynamically quantized layers call, with the quantization of their inputs
    return {**found, INT8: (whole, Matmul("quantized.linear_dynamic", device, _packed, sides[1:2]))}


def _float(dtype: torch.dtype, device: torch.device, sides: tuple[int, ...]) -> Matmul:
    def make(side: int) -> Product:
        # its own generator: the user's random state stays
        random = torch.Generator(device).manual_seed(0)
        a = torch.rand(side, side, generator=random, device=device, dtype=torch.float32).to(dtype)
        b, out = a.t().contiguous(), torch.empty(side, side, device=device, dtype=dtype)
        return lambda: torch.mm(a, b, out=out)

    return Matmul("torch.mm", device, make, sides)


def _rounded(device: torch.device) -> Callable[[int], Product]:
    def make(side: int) -> Product:
        random = torch.Generator(device).manual_seed(0)
        a = torch.rand(side, side, generator=random, device=device, dtype=torch.float32)
        b, out, settings = a.t().contiguous(), torch.empty_like(a), torch.backends.cuda.matmul

        def product() -> None:
            before = settings.fp32_precision
            settings.fp32_precision = "tf32"
            try:
                torch.mm(a, b, out=out)
            finally:
                settings.fp32_precision = before

        return product

    return make


def _whole(side: int, device: torch.device) -> Product:
    a = _int8(side, device)
    b, out = a.t(), torch.empty(side, side, device=device, dtype=torch.int32)
    return lambda: torch._int_mm(a, b, out=out)  # noqa: SLF001 (torch has no public name for it)


def _packed(side: int) -> Product:
    device = torch.device("cpu")
    with quiet():
        weight = torch.quantize_per_tensor(_int8(side, device).float(), 1.0, 0, torch.qint8)
        pack = torch.ops.quantized.linear_prepack(weight, None)
    x = torch.ones(side, side, device=device, dtype=torch.float32)
    return lambda: torch.ops.quantized.linear_dynamic(x, pack, False)


def _int8(side: int, device: torch.device) -> torch.Tensor:
    random = torch.Generator(device).manual_seed(0)
    return torch.randint(-64, 64, (side, side), generator=random, device=device, dtype=torch.int8)


def _sides(device: torch.device) -> tuple[int, ...]:
    if device.type != "cpu":
        return _GPU_SIDES
    return (*_SIDES, 2 * _SIDES[-1]) if torch.get_num_threads() >= _MANY_THREADS else _SIDES


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
