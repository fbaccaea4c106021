"""Whether a kernel multiplies on tensor cores, as far as its name tells.

A trace holds no counters of the hardware. NVIDIA's libraries put the shape of the matrix instruction or the kind of
core into the names of their kernels (``volta_fp16_s884gemm``, ``ampere_bf16_s16816gemm``, ``sm90_xmma_gemm_..._hgmma``,
``cutlass_80_tensorop_s1688gemm``), and so do flash attention's and those of cuBLAS for Hopper (``nvjet``). Where they
do not, as in most of ``sm80_xmma``, they name the types of what is multiplied: ``tf32``, and the types of 16 and 8 bits,
are multiplied by tensor cores alone (``sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_...``), and float32 as it is by
none (``..._f32f32_f32f32_f32_..._ffma_...``).
"""

from __future__ import annotations

import re

_MULTIPLIES = re.compile(
    r"gemm|gemv|conv|wgrad|dgrad|fprop|mma|flash|fmha|attention|nvjet|winograd|implicit_con|cublas|matmul|_mm_|bmm",
    re.IGNORECASE,
)
_TENSOR_CORES = re.compile(
    r"[hsidb]_?(884|1688|16816|16832|8816|168128|161616)|tensorop|wgmma|[hiq]gmma|hmma|imma|[^a-z]mma_sync|nvjet"
    r"|xmma_.*_(tf32|f32f32_tf32|bf16|f16f16|i8i8|e[45]m[23])|_tensor\d+x\d+x\d+_"
    r"|flash_(fwd|bwd)|_sm(80|86|89|90|100)_.*warpspec|fmha_cutlass[fb]_(f16|bf16).*_sm(7[05]|80|90)|tcgen05|utcmma",
    re.IGNORECASE,
)


_BESIDE = re.compile(r"splitk_?reduce|epilogue::|init_device_workspace|transpose_?params", re.IGNORECASE)
"""What libraries launch beside a product, under names of it."""


def uses_tensor_cores(kernel: str) -> bool | None:
    """Whether it multiplies on tensor cores; None for a kernel that multiplies nothing.

    A name that says neither, of a kernel that multiplies, counts as no: so the share is a lower bound.
    """
    if _TENSOR_CORES.search(kernel):
        return True
    return False if _MULTIPLIES.search(kernel) and not _BESIDE.search(kernel) else None
