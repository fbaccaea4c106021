"""Write a model in a format of others: ONNX, `torch.export`, OpenVINO. What is written is run and compared."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import Cancelled, ExportFailed, InvalidOption, MissingExtra, OptimError
from jupyter_optim.guard import undisturbed
from jupyter_optim.progress import Progress
from jupyter_optim.quality import MaxDrop, fidelity
from jupyter_optim.quiet import quiet
from jupyter_optim.session.step import Step
from jupyter_optim.techniques.engines.extra import missing
from jupyter_optim.techniques.engines.openvino_engine import openvino as without_word_of_it
from jupyter_optim.techniques.engines.openvino_engine import settings
from jupyter_optim.workload import Workload

Writer = Callable[["torch.export.ExportedProgram", Path], Callable[..., Sequence[Any]]]
"""Writes a program to a file, and returns how that file is run, on flat inputs, to flat outputs."""

_LIKE = MaxDrop(1e-3)


def export_model(workload: Workload, path: Path, steps: Sequence[Step], progress: Progress) -> Path:
    """Write the workload's model to `path`, in the format that its ending names.

    The first dimension that all inputs share may vary, if the model bears it. Files that were there are replaced, once
    the new ones have been run and answer like the model.

    Raises:
        InvalidOption: an unknown ending, or no such folder.
        MissingExtra: a package is not installed.
        ExportFailed: it cannot be written in that format, with the reason.
    """
    writer, needs = _format(path)
    absent = missing(*needs)
    if absent is not None:
        raise MissingExtra(f"{path.suffix} cannot be written: {absent}.")
    if not path.parent.is_dir():
        raise InvalidOption(f"There is no folder {path.parent}.")
    if workload.expression is not None:
        raise ExportFailed(
            "The workload is an expression: measure a call of the model itself, and export that."
        )
    obstacle = _obstacle(workload.model, steps)
    if obstacle is not None:
        raise ExportFailed(obstacle)
    expected = tree.tensors(workload.outputs(workload.model))
    progress.report("Exporting: tracing the model", None)
    try:
        with (
            quiet(),
            undisturbed(workload.model),
            workload.mode.applied(workload.model),
            torch.no_grad(),
        ):
            program = _traced(workload)
            progress.report(f"Exporting: writing {path.name}", None)
            # beside its place, and under its own name, since that may be written into the files
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as place:
                made = Path(place) / path.name
                answer = writer(program, made)
                progress.check()
                _check_answers(answer, workload, expected, path.name)
                for file in Path(place).iterdir():
                    shutil.move(file, path.parent / file.name)
    except OptimError:
        raise
    except Exception as error:
        raise ExportFailed(_why(path, steps, error)) from error
    return path


def _format(path: Path) -> tuple[Writer, tuple[str, ...]]:
    formats: dict[str, tuple[Writer, tuple[str, ...]]] = {
        ".onnx": (_write_onnx, ("onnx", "onnxscript", "onnxruntime")),
        ".pt2": (_write_pt2, ()),
        ".xml": (_write_openvino, ("openvino",)),
    }
    if path.suffix not in formats:
        raise InvalidOption(
            f"{path.name}: the name must end in .onnx, .pt2 (torch.export) or .xml (OpenVINO)."
        )
    return formats[path.suffix]


def _obstacle(model: nn.Module, steps: Sequence[Step]) -> str | None:
    """Why the model as it is cannot be written in any of these formats, or None."""
    for path, module in model.named_modules():
        engine = getattr(getattr(module.__dict__.get("forward"), "__func__", None), "engine_label", None)
        if engine is not None:
            return f"The model runs on {engine}, which is no part of it: undo that, and export."
        packed = hasattr(module, "packed_bytes") or type(module).__module__.startswith(
            "torch.ao.nn.quantized"
        )
        if packed:
            names = ", ".join(step.label for step in steps) or "quantization"
            return (
                f"`{path}` holds weights packed for torch's own int8 kernels, which no other format knows ({names}). "
                "Undo that and export, or keep it with `session.save`."
            )
    return None


def _why(path: Path, steps: Sequence[Step], error: Exception) -> str:
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    changed = (
        f" In place: {', '.join(step.label for step in steps)}; without it, it may be possible."
        if steps
        else ""
    )
    return f"The model cannot be written as {path.suffix}: {said.rstrip('.')}.{changed}"


def _traced(workload: Workload) -> torch.export.ExportedProgram:
    """The model as a graph, for any size of batch if it bears that, else for the one that was measured."""
    args, kwargs = tree.clone((workload.args, workload.kwargs))
    if workload.batch_size is not None and workload.batch_size > 1:
        shapes = torch.export.ShapesCollection()
        for tensor in tree.tensors((args, kwargs)):
            if tensor.dim() > 0:
                shapes[tensor] = {0: torch.export.Dim.AUTO}
        try:
            return torch.export.export(
                workload.model,
                args,
                kwargs,
                dynamic_shapes=shapes.dynamic_shapes(workload.model, args, kwargs),
            )
        except Cancelled:
            raise
        except Exception:  # noqa: BLE001 (the exporter raises what it likes; what is wrong for good is raised below)
            args, kwargs = tree.clone((workload.args, workload.kwargs))
    return torch.export.export(workload.model, args, kwargs)


def _write_pt2(program: torch.export.ExportedProgram, path: Path) -> Callable[..., Sequence[Any]]:
    torch.export.save(program, path)
    loaded = torch.export.load(path).module()
    return lambda args, kwargs: tree.tensors(loaded(*args, **kwargs))


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> Callable[..., Sequence[Any]]:
    onnxruntime = importlib.import_module("onnxruntime")

    torch.onnx.export(program, f=str(path), dynamo=True, external_data=False, verbose=False)
    runtime = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def answer(args: Any, kwargs: Any) -> Sequence[Any]:
        given = [tensor.detach().cpu().numpy() for tensor in tree.tensors((args, kwargs))]
        names = [each.name for each in runtime.get_inputs()]
        return [torch.from_numpy(each) for each in runtime.run(None, dict(zip(names, given, strict=True)))]

    return answer


def _write_openvino(program: torch.export.ExportedProgram, path: Path) -> Callable[..., Sequence[Any]]:
    openvino = without_word_of_it()

    converted = openvino.convert_model(program)
    openvino.save_model(converted, path, compress_to_fp16=False)
    # in the precision that the file has, and not the one that this processor likes
    compiled = openvino.Core().compile_model(path, "CPU", settings("f32"))

    def answer(args: Any, kwargs: Any) -> Sequence[Any]:
        given = [tensor.detach().cpu().numpy() for tensor in tree.tensors((args, kwargs))]
        outputs = compiled(given)
        return [torch.from_numpy(outputs[n].copy()) for n in range(len(compiled.outputs))]

    return answer


def _check_answers(
    answer: Callable[..., Sequence[Any]], workload: Workload, expected: Sequence[torch.Tensor], name: str
) -> None:
    got = answer(*tree.clone((workload.args, workload.kwargs)))
    if [each.shape for each in got] != [each.shape for each in expected]:
        raise ExportFailed(f"{name} was written, and does not return what the model does: nothing was kept.")
    alike = [a.cpu().to(b.dtype) for a, b in zip(got, expected, strict=True)]
    quality = fidelity([each.cpu() for each in expected], alike, _LIKE)
    if not quality.drop <= quality.max_drop:
        raise ExportFailed(
            f"{name} was written, and does not answer like the model (cosine {quality.after:.4g}): nothing was kept."
        )
