"""Run as a program: compiles models for OpenVINO and calls them, so that a crash is this process's and no other's.

Reads a JSON object a line from its standard input, and answers each with one: ``{}``, or ``{"error": ...}``. It imports
nothing of this package, and no PyTorch.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    """Answer until the input ends."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would send word of each use
    answers = os.fdopen(os.dup(1), "w")
    # what a library prints is no answer
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_tried(json.loads(line))), file=answers, flush=True)


def _tried(request: dict[str, Any]) -> dict[str, str]:
    try:
        import numpy as np  # noqa: PLC0415 (an import that fails is an answer)
        import openvino as ov  # noqa: PLC0415

        core = ov.Core()
        model = core.read_model(request["model"])
        if request["shapes"] is not None:
            model.reshape(dict(zip(model.inputs, request["shapes"], strict=True)))
        compiled = core.compile_model(model, "CPU", request["settings"])
        with np.load(request["inputs"]) as inputs:
            compiled.create_infer_request().infer([inputs[name] for name in inputs.files])
    except Exception as error:  # noqa: BLE001 (whatever it is, the other side is told)
        return {"error": f"{type(error).__name__}: {error}"}
    return {}


if __name__ == "__main__":
    main()
