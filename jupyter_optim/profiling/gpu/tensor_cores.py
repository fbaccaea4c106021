"""Whether a kernel multiplies on tensor cores, as far as its name tells.

A trace holds no counters of the hardware. NVIDIA's libraries put the shape of the matrix instruction or the kind of
core into the names of their kernels (``volta_fp16_s884gemm``, ``ampere_bf16_s16816gemm``, ``sm90_xmma_gemm_..._hgmma``,
``cutlass_80_tensorop_s1688gemm``), and so do flash attention's and those of cuBLAS for Hopper (``nvjet``).
"""

from __future__ import annotations

import re

_MULTIPLIES = re.compile(
    r"gemm|gemv|conv|wgrad|dgrad|fprop|mma|flash|fmha|attention|nvjet|winograd|implicit_con|cublas|matmul|_mm_|bmm",
    re.IGNORECASE,
)
_TENSOR_CORES = re.compile(
    r"[hsidb]_?(884|1688|16816|16832|8816|168128|161616)|tensorop|wgmma|[hiq]gmma|hmma|imma|[^a-z]mma_sync|nvjet"
    r"|flash_(fwd|bwd)|_sm(80|86|89|90|100)_.*warpspec|fmha_cutlass[fb]_(f16|bf16).*_sm(7[05]|80|90)|tcgen05|utcmma",
    re.IGNORECASE,
)


def uses_tensor_cores(kernel: str) -> bool | None:
    """Whether it multiplies on tensor cores; None for a kernel that multiplies nothing.

    A name that says neither, of a kernel that multiplies, counts as no: so the share is a lower bound.
    """
    if _TENSOR_CORES.search(kernel):
        return True
    return False if _MULTIPLIES.search(kernel) else None
