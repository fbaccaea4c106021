"""All techniques by name: ours, and those that other packages register."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points

from jupyter_optim.errors import OptimError, UnknownTechnique, nearest
from jupyter_optim.techniques.technique import Technique

GROUP = "jupyter_optim.techniques"
"""Entry-point group: each entry names a `Technique` subclass."""


@functools.cache
def techniques() -> tuple[Technique, ...]:
    """Every technique, ours first, in the order in which they are shown where nothing else orders them.

    Raises:
        OptimError: an installed package registers what is no technique.
    """
    from jupyter_optim.techniques.compile import Compile  # noqa: PLC0415 (they import torch)
    from jupyter_optim.techniques.fold_batchnorm import FoldBatchNorm  # noqa: PLC0415
    from jupyter_optim.techniques.fp8 import Fp8  # noqa: PLC0415
    from jupyter_optim.techniques.int8_dynamic import Int8Dynamic  # noqa: PLC0415
    from jupyter_optim.techniques.int8_embedding import Int8Embedding  # noqa: PLC0415
    from jupyter_optim.techniques.int8_static import Int8Mixed, Int8Static  # noqa: PLC0415
    from jupyter_optim.techniques.layout import ChannelsLast  # noqa: PLC0415
    from jupyter_optim.techniques.low_rank import LowRank  # noqa: PLC0415
    from jupyter_optim.techniques.onnxruntime import OnnxRuntime, OnnxRuntimeInt8  # noqa: PLC0415
    from jupyter_optim.techniques.openvino import OpenVino, OpenVinoInt8  # noqa: PLC0415
    from jupyter_optim.techniques.precision import Bf16, Fp16  # noqa: PLC0415
    from jupyter_optim.techniques.prune_2_4 import Prune24  # noqa: PLC0415
    from jupyter_optim.techniques.prune_depth import PruneDepth  # noqa: PLC0415
    from jupyter_optim.techniques.prune_magnitude import PruneMagnitude  # noqa: PLC0415
    from jupyter_optim.techniques.prune_structured import PruneStructured  # noqa: PLC0415
    from jupyter_optim.techniques.sdpa import Sdpa  # noqa: PLC0415
    from jupyter_optim.techniques.share_weights import ShareWeights  # noqa: PLC0415
    from jupyter_optim.techniques.tensorrt import TensorRt  # noqa: PLC0415
    from jupyter_optim.techniques.weight_only import Int4WeightOnly, Int8WeightOnly  # noqa: PLC0415

    ours = (
        Int8Dynamic(), Int8Static(), Int8Mixed(), OpenVino(), OpenVinoInt8(), OnnxRuntime(), OnnxRuntimeInt8(), Bf16(), Fp16(), ChannelsLast(),
        FoldBatchNorm(), Sdpa(), Compile(), Int8WeightOnly(), Int4WeightOnly(), Int8Embedding(), Fp8(), LowRank(),
        PruneStructured(), PruneDepth(), PruneMagnitude(), Prune24(), ShareWeights(), TensorRt(),
    )  # fmt: skip
    return (*ours, *_registered())


def _registered() -> list[Technique]:
    found = []
    for entry in entry_points(group=GROUP):
        kind = entry.load()
        if not (isinstance(kind, type) and issubclass(kind, Technique)):
            raise OptimError(f"The entry point {entry.name!r} of {GROUP} is no Technique: {entry.value}.")
        found.append(kind())
    return found


def technique(name: str) -> Technique:
    """The technique of that name. Raises `UnknownTechnique` with the valid names, nearest first."""
    known = {each.name: each for each in techniques()}
    if name not in known:
        raise UnknownTechnique(
            f"There is no technique {name!r}. There are: {', '.join(nearest(name, known))}."
        )
    return known[name]
