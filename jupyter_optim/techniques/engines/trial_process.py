"""Run as a program: compiles models for OpenVINO and calls them, so that a crash is this process's and no other's.

Reads a JSON object a line from its standard input, and answers each with one: ``{"seconds": ...}`` of a call, whose
outputs are then in the file that was named, or ``{"error": ...}``. It imports nothing of this package, and no PyTorch.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Answer until the input ends."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would send word of each use
    answers = os.fdopen(os.dup(1), "w")
    # what a library prints is no answer
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_tried(json.loads(line))), file=answers, flush=True)


def _tried(request: dict[str, Any]) -> dict[str, Any]:
    try:
        import numpy as np  # noqa: PLC0415 (an import that fails is an answer)
        import openvino as ov  # noqa: PLC0415

        core = ov.Core()
        model = core.read_model(request["model"])
        if request["shapes"] is not None:
            model.reshape(dict(zip(model.inputs, request["shapes"], strict=True)))
        compiled = core.compile_model(model, "CPU", request["settings"])
        call = compiled.create_infer_request()
        with np.load(request["inputs"]) as inputs:
            given = [inputs[name] for name in inputs.files]
        found = call.infer(given)
        np.savez(request["outputs"], *[found[index] for index in range(len(found))])
        for index, array in enumerate(given):
            call.set_input_tensor(index, ov.Tensor(array, shared_memory=bool(array.shape)))
        seconds = _seconds(lambda: call.infer(share_outputs=True, decode_strings=False))
    except Exception as error:  # noqa: BLE001 (whatever it is, the other side is told)
        return {"error": f"{type(error).__name__}: {error}"}
    return {"seconds": seconds}


def _seconds(call: Callable[[], object]) -> float:
    """The least that a call takes, of those that fit into a twentieth of a second, and of three at least."""
    best, ends = float("inf"), time.perf_counter() + 0.05
    calls = 0
    while calls < 3 or time.perf_counter() < ends:
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
        calls += 1
    return best


if __name__ == "__main__":
    main()
