"""Keep an optimized model on disk, and make it anew from a fresh original: weights and a recipe, no pickle.

A saved model is a folder of two files:

- ``weights.safetensors``: all tensors as they are now, packed int8 weights as their plain parts;
- ``recipe.json``: the steps in place, each with its options and what its technique needs to make the structure
  anew; the structure of the original; versions; and the SHA-256 of the weights.

Loading works on a draft: it is made like the saved one, step by step, gets the weights, and is then grafted. What is
wrong with the files is found before that, and the model stays as it is.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from jupyter_optim.errors import InvalidRecipe, NotApplicable, OptimError
from jupyter_optim.report.base import Data
from jupyter_optim.session.step import Step
from jupyter_optim.session.structure import ModuleShape, difference, structure_of
from jupyter_optim.session.work import WORK
from jupyter_optim.techniques.contents import contents, put_in
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.graft import CARRIED, Graft
from jupyter_optim.techniques.registry import technique
from jupyter_optim.techniques.technique import Change, Kept, Technique
from jupyter_optim.workload import as_call, checked_model

SCHEMA = 1
RECIPE, WEIGHTS = "recipe.json", "weights.safetensors"
_PACKAGES = ("jupyter-optim", "torch", "safetensors")


class _Schema(Data, frozen=True, kw_only=True):
    schema_version: int


class SavedStep(Data, frozen=True, kw_only=True):
    """One step in place when the model was saved."""

    technique: str
    options: dict[str, Any]
    facts: dict[str, Any]
    note: str = ""


class Recipe(Data, frozen=True, kw_only=True):
    """How the saved model is made from an original."""

    schema_version: int = SCHEMA
    model: str
    steps: tuple[SavedStep, ...]
    structure: tuple[ModuleShape, ...]
    """Of the original."""
    aliases: dict[str, str]
    """Names of tensors that are in the weights under another name: tied ones."""
    weights_sha256: str
    versions: dict[str, str]


def save_model(
    model: nn.Module, steps: Sequence[Step], structure: tuple[ModuleShape, ...], path: str | PathLike[str]
) -> Path:
    """Write `model`, on which `steps` are in place, into the folder `path`.

    Args:
        model: the live model.
        steps: in order.
        structure: of the model before the first of them.
        path: a new folder, or one that holds a saved model, which is replaced.

    Raises:
        NotApplicable: a step cannot be made anew from a file.
        OptimError: the model cannot be saved without pickle, or the folder cannot be written.
    """
    from safetensors.torch import save_file  # noqa: PLC0415 (needed here only)

    folder = Path(path).expanduser()
    _check_writable(folder)
    for step in steps:
        chosen = technique(step.technique)
        if chosen.rebuilds == "never":
            raise NotApplicable(
                f"{chosen.label} cannot be made anew from a file: undo it before saving, and apply it again after loading."
            )
    tensors, aliases = _distinct(contents(model))
    try:
        # beside its place, so that the last step is a rename
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
            made = Path(place) / folder.name
            made.mkdir()
            save_file(tensors, str(made / WEIGHTS))
            recipe = Recipe(
                model=type(model).__name__, structure=structure, aliases=aliases,
                steps=tuple(SavedStep(technique=each.technique, options=each.options, facts=each.facts, note=each.note)
                            for each in steps),
                weights_sha256=_sha256(made / WEIGHTS), versions={name: version(name) for name in _PACKAGES},
            )  # fmt: skip
            (made / RECIPE).write_bytes(msgspec.json.format(msgspec.json.encode(recipe), indent=1))
            if folder.exists():
                folder.rename(Path(place) / "former")
            made.rename(folder)
    except OSError as error:
        raise OptimError(f"{folder} cannot be written: {error}.") from error
    except TypeError as error:
        raise NotApplicable(f"A step in place has facts that JSON cannot hold: {error}.") from error
    return folder


def load(
    model: nn.Module, path: str | PathLike[str], inputs: Any = None, *, calibration: Iterable[Any] | None = None
) -> nn.Module:  # fmt: skip
    """Make `model` what `Session.save` saved: its structure, and its weights.

    Args:
        model: a fresh original, trained or not: the same class with the same settings, in the same dtype. It stays
            the same object, on its device and in its mode (train or eval); its parameters are other ones afterwards.
        path: the folder.
        inputs: as for `optimize`, for an example call; only needed for what is converted anew (engines). Those that it
            was saved with give equal answers, also where int8 scales come from them.
        calibration: as for `optimize`; only needed where an engine has its scales from such inputs.

    Returns:
        `model`.

    Raises:
        InvalidRecipe: the files are broken, of a newer version, or of another model.
        OptimError: what is wrong otherwise. In any case, the model is as before.
    """
    checked_model(model)
    session = model.__dict__.get(CARRIED)
    if getattr(session, "can_undo", False):
        raise OptimError(
            "This model has changes in place: `reset()` its session first, or load into a fresh one."
        )
    folder = Path(path).expanduser()
    with WORK.held("loading"), torch.inference_mode(mode=False):
        recipe = _read_recipe(folder)
        differs = difference(recipe.structure, structure_of(model))
        if differs is not None:
            raise InvalidRecipe(
                f"{folder} was saved from another {recipe.model}: {differs}. Give a fresh original of the same class, "
                "with the same settings and dtype."
            )
        weights = _read_weights(folder, recipe)
        draft = Draft(model, weights="cloned")
        example = None if inputs is None else as_call(inputs)
        root, compiled = _rebuilt(draft.root, recipe, weights, example, calibration)
        draft.trained = True  # its buffers are the saved ones
        Graft(draft, root, compiled=compiled).apply()
    model.__dict__.pop(CARRIED, None)  # what it knew of the model is true no more
    return model


def _rebuilt(
    root: nn.Module, recipe: Recipe, weights: dict[str, torch.Tensor], *given: Any
) -> tuple[nn.Module, dict[str, Any] | None]:
    """The draft with all steps and the weights, and how it is to be compiled, if it is."""
    compiled: dict[str, Any] | None = None
    steps = [(technique(step.technique), step) for step in recipe.steps]
    before = [(each, step) for each, step in steps if each.rebuilds != "afterwards"]
    after = [(each, step) for each, step in steps if each.rebuilds == "afterwards"]
    for each, step in before:
        change = _remade(each, root, step, *given)
        root, compiled = change.model, change.compiled if change.compiled is not None else compiled
    put_in(root, weights)
    for each, step in after:
        root = _remade(each, root, step, *given).model
    return root, compiled


def _remade(chosen: Technique, root: nn.Module, step: SavedStep, *given: Any) -> Change:
    kept = Kept(chosen.parse_options(step.options), step.facts, *given)
    try:
        return chosen.rebuild(root, kept)
    except OptimError:
        raise
    except Exception as error:
        raise InvalidRecipe(
            f"{chosen.label} cannot be made anew as the recipe says: {type(error).__name__}: {error}."
        ) from error


def _check_writable(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise OptimError(f"There is no folder {folder.parent}.")
    if folder.exists() and not (
        folder.is_dir() and {each.name for each in folder.iterdir()} <= {RECIPE, WEIGHTS}
    ):
        raise OptimError(f"{folder} exists and is no saved model: give the name of a new folder.")


def _read_recipe(folder: Path) -> Recipe:
    data = _bytes_of(folder / RECIPE)
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema_version
        if schema <= SCHEMA:
            return msgspec.json.decode(data, type=Recipe)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRecipe(f"{folder / RECIPE} is broken: {error}.") from error
    raise InvalidRecipe(
        f"{folder / RECIPE} is of version {schema}, and this jupyter_optim reads {SCHEMA}: install a newer one."
    )


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidRecipe(f"{file} cannot be read: {error.strerror or error}.") from error


def _read_weights(folder: Path, recipe: Recipe) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError  # noqa: PLC0415 (needed here only)
    from safetensors.torch import load_file  # noqa: PLC0415

    file = folder / WEIGHTS
    try:
        found = _sha256(file)
        if found != recipe.weights_sha256:
            raise InvalidRecipe(
                f"{file} is not the file that {RECIPE} was written with: it is cut off, or another one."
            )
        weights = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise InvalidRecipe(f"{file} cannot be read: {error}.") from error
    for name, first in recipe.aliases.items():
        if first not in weights:
            raise InvalidRecipe(f"{file} has no weights for `{first}`.")
        weights[name] = weights[first]
    return weights


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _distinct(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors of their own on the CPU, each once, and for further names of one, its first."""
    first: dict[int, str] = {}
    distinct: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        if id(tensor) in first:
            aliases[name] = first[id(tensor)]
            continue
        first[id(tensor)] = name
        # safetensors refuses memory that is shared, also with a larger tensor
        distinct[name] = tensor.detach().cpu().contiguous().clone()
    return distinct, aliases
