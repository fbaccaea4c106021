"""`low-rank`: a layer's matrix as the product of two thinner ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import psutil
from torch import nn

from jupyter_optim.errors import NotApplicable
from jupyter_optim.profiling.trace.annotate import TensorShape
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.input_moments import Moments, moments_of
from jupyter_optim.techniques.low_rank_factors import any_pair, factored, quick_rank, spectrum
from jupyter_optim.techniques.low_rank_source import source
from jupyter_optim.techniques.matrices import is_matrix, matrix_of, read_directly, shared_weights, widths
from jupyter_optim.techniques.rehearse import layer_times, rehearse_layers
from jupyter_optim.techniques.replace import has_hooks, replace_modules_
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Option, Technique, counted

_SMALLEST = 64
"""Inputs and outputs of a layer that is worth factoring, at least."""

_LARGEST = 4096
"""Inputs or outputs, whichever are fewer: the directions of a larger layer take minutes to find."""

_ASSUMED = 4
"""Of its directions, a layer whose own are not looked for is taken to keep one in so many."""

_QUICK = 1e10
"""Operations that a prediction may take to look for directions: half a second, or one on a small machine."""

_FASTER = 1.05
"""A pair that is faster by less than this is not worth its loss."""


class LowRank(Technique):
    """Replace Linear layers and 1x1 convolutions by two smaller ones, by the directions that the inputs use."""

    name = "low-rank"
    family = "factorisation"
    lossy = True
    rebuilds = "structure"
    label = "Factor layers (low rank)"
    risk = (
        "Directions of little variance are lost: answers change, the more the less energy is kept. Training "
        "afterwards brings back much of it."
    )
    options = (
        Option(
            "energy", "Energy kept", 0.99, low=0.5, high=0.9999, step=0.01,
            help="Fraction of the variance of each layer's outputs; it sets the rank.",
        ),
        Option(
            "where", "Where", "faster", choices=("faster", "smaller"),
            help="faster: only where the two layers are measured to be faster; smaller: wherever they have fewer "
            "weights.",
        ),
        Option(
            "directions", "Directions", "inputs", choices=("inputs", "weights"),
            help="inputs: the best for the inputs of this run; weights: plain SVD, which loses much more.",
        ),
        Option(
            "round_to", "Round ranks to", 16, low=1, high=64, step=1, help="What matrix units like: 16 or 32."
        ),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle
        layers = [] if reason else self.layers(subject)
        if reason is None and not layers:
            reason = f"it has no Linear or 1x1 convolution, called as a layer, with {_SMALLEST} inputs and outputs or more, and at most {_LARGEST:,} of one of them"
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        options = self.parse_options({})
        kinds = {layer.kind: layer for layer in reversed(layers)}
        try:
            ranks, made = self._rehearsed(subject, list(kinds.values()), options)
        except NotApplicable as error:
            return Assessment(applies=True, reason=str(error), method="not predicted")
        if not made:
            return Assessment(
                applies=True, reason=f"At the usual setting it brings nothing: {_too_much_energy(options)}. With less "
                "energy it would.", covers_share=0.0, predicted_speedup=1.0, predicted_size_ratio=1.0,
                method="the directions of the first layer of each kind",
            )  # fmt: skip
        prediction = rehearse_layers(
            subject, [each for each in layers if each.kind in made], lambda _module, layer: made[layer.kind]
        )
        taken = [each for each in layers if each.kind in made]
        saved = sum(matrix_of(each.module).nbytes - _pair_bytes(each, ranks[each.kind]) for each in taken)
        speedup = prediction.speedup
        told = (
            ""
            if speedup is None or speedup >= _FASTER
            else " They would hardly be faster here: it saves bytes."
        )
        return Assessment(
            applies=True,
            reason=f"Up to {counted(len(taken), 'layer')} as two thinner ones that keep {options['energy']:.0%} of "
            f"their outputs' variance.{told}",
            covers_share=prediction.covers_share, predicted_speedup=speedup,
            predicted_size_ratio=max(0.0, 1 - saved / (subject.report.memory.weights_bytes or 1)),
            method=f"{prediction.method}; ranks from the first layer of each kind{_assumed(list(kinds.values()))}",
        )  # fmt: skip

    def _rehearsed(
        self, subject: Subject, layers: list[Layer], options: Mapping[str, Any]
    ) -> tuple[dict[str, int], dict[str, nn.Module]]:
        """By kind of layer, the rank and the two layers in its place, for those that would have fewer weights."""
        quick = _quickly_known(layers)
        moments = self._moments(subject, quick, options)
        known = [layer.path for layer in _known(quick, moments, options)]
        ranks: dict[str, int] = {}
        made: dict[str, nn.Module] = {}
        for layer in layers:
            subject.progress.check()
            if layer in quick and layer.path not in known:
                continue  # it gets no inputs
            rank = min(widths(layer.module)) // _ASSUMED
            if layer in quick:
                weight, found = matrix_of(layer.module), moments.get(layer.path)
                rank = quick_rank(weight, found, options["energy"], int(options["round_to"]))
            if _fewer_weights(layer, rank):
                ranks[layer.kind] = rank
                made[layer.kind] = any_pair(layer.module, rank)
        return ranks, made

    def _moments(
        self, subject: Subject, layers: list[Layer], options: Mapping[str, Any]
    ) -> dict[str, Moments]:
        if options["directions"] == "weights":
            return {}
        needed = sum(8 * widths(layer.module)[0] ** 2 for layer in layers)
        if needed > psutil.virtual_memory().available / 2:
            raise NotApplicable(
                f"To see which directions the inputs use would take {needed / 2**30:.1f} GiB: choose directions='weights'."
            )
        found = moments_of(subject, [layer.path for layer in layers])
        odd = next((path for path, each in found.items() if not each.products.isfinite().all()), None)
        if odd is not None:
            raise NotApplicable(
                f"`{odd}` gets inputs that are infinite or NaN, which use no directions: choose directions='weights'."
            )
        return found

    def layers(self, subject: Subject) -> list[Layer]:
        """Those that can be factored: called as layers, their weights theirs alone and read by nobody else."""
        shared = shared_weights(subject.model)
        read = read_directly(subject.model)
        return [
            layer
            for layer in subject.layers([nn.Module], exact=False)
            if (is_matrix(layer.module) or _is_pointwise(layer.module))
            and min(widths(layer.module)) >= _SMALLEST
            and min(widths(layer.module)) <= _LARGEST
            and layer.module not in read
            and id(layer.module._parameters["weight"]) not in shared
            and matrix_of(layer.module).is_floating_point()
        ]

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        layers = self.layers(subject)
        progress.report("Looking at what the layers get", None)
        moments = self._moments(subject, layers, options)
        made: dict[str, nn.Module] = {}
        ranks: dict[str, int] = {}
        known: dict[tuple[str, int], bool] = {}
        for number, layer in enumerate(_known(layers, moments, options)):
            progress.report(f"Factoring {len(layers)} layers", number / len(layers))
            found = spectrum(matrix_of(layer.module), moments.get(layer.path))
            rank = found.rank_for(options["energy"], int(options["round_to"]))
            if not _fewer_weights(layer, rank):
                continue
            pair = factored(layer.module, rank, found, moments.get(layer.path))
            key = (layer.kind, rank)
            if options["where"] == "faster" and key not in known:
                known[key] = _is_faster(layer, pair)
            if options["where"] == "smaller" or known[key]:
                made[layer.path], ranks[layer.path] = pair, rank
        if not made:
            raise NotApplicable(_too_much_energy(options) + ": keep less energy, or choose where='smaller'.")
        low, high = min(ranks.values()), max(ranks.values())
        span = f"rank {low}" if low == high else f"ranks {low} to {high}"
        note = f"{len(made)} of {counted(len(layers), 'layer')} as two, {span}"
        return Change(replace_modules_(draft, made), note, {"ranks": ranks})

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        made: dict[str, nn.Module] = {}
        for path, rank in kept.facts["ranks"].items():
            module = draft.get_submodule(path)
            if not (is_matrix(module) or _is_pointwise(module)) or not 0 < rank <= sum(widths(module)):
                raise ValueError(f"`{path}` is no layer that can be factored at rank {rank}")
            made[path] = any_pair(module, rank)
        return Change(replace_modules_(draft, made))

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        by_inputs = options["directions"] == "inputs"
        return source(facts["ranks"], by_inputs=by_inputs)


def _known(layers: list[Layer], moments: Mapping[str, Moments], options: Mapping[str, Any]) -> list[Layer]:
    """The layers that can be factored by what is known of their inputs: those that got any."""
    return [layer for layer in layers if options["directions"] == "weights" or layer.path in moments]


def _quickly_known(layers: list[Layer]) -> list[Layer]:
    """Those whose ranks are looked for before a click: the ones with most of the time, as long as that is quick."""
    found, left = [], _QUICK
    for layer in sorted(layers, key=lambda each: -each.share):
        left -= _work(layer)
        if left >= 0:
            found.append(layer)
    return found


def _work(layer: Layer) -> float:
    """Operations, about, to find the rank of a layer from what it gets: moments, products, eigenvalues."""
    inputs, outputs = widths(layer.module)
    x = layer.inputs[0] if layer.inputs else None
    rows = math.prod(x.shape) / inputs if isinstance(x, TensorShape) else 0
    least, most = min(inputs, outputs), max(inputs, outputs)
    # eigenvalues take 4/3 n^3, a tenth as fast as products
    return 2 * (rows * inputs**2 + outputs * inputs**2 + least**2 * most) + 13 * least**3


def _assumed(layers: list[Layer]) -> str:
    left = len(layers) - len(_quickly_known(layers))
    return "" if not left else f", or assumed: to find those of {counted(left, 'kind')} takes seconds"


def _is_pointwise(module: nn.Module) -> bool:
    """Whether it is a convolution that is a Linear at each pixel."""
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (1, 1)
        and module.stride == (1, 1)
        and module.padding in ((0, 0), "same", "valid")
        and module.groups == 1
        and module._parameters.get("weight") is not None
        and not has_hooks(module)
    )


def _fewer_weights(layer: Layer, rank: int) -> bool:
    inputs, outputs = widths(layer.module)
    return rank * (inputs + outputs) < inputs * outputs


def _pair_bytes(layer: Layer, rank: int) -> int:
    return rank * sum(widths(layer.module)) * matrix_of(layer.module).element_size()


def _is_faster(layer: Layer, pair: nn.Module) -> bool:
    times = layer_times(layer, [layer.module, pair])
    return times is not None and times[0] > _FASTER * times[1]


def _too_much_energy(options: Mapping[str, Any]) -> str:
    where = "faster" if options["where"] == "faster" else "smaller"
    return (
        f"no layer is {where} as two that keep {options['energy']:.0%} of the energy: its outputs use nearly all of "
        "their directions"
    )
