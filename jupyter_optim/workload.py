"""What is measured: a model, and how it was called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import InvalidInputs, InvalidModel
from jupyter_optim.guard import affordable, undisturbed, versions
from jupyter_optim.report import InputSpec, Origin, OtherModel, Signature

Evaluated = Callable[[nn.Module], Any]


@dataclass(frozen=True, slots=True)
class CallMode:
    """The circumstances of a call: gradients, autocast, and the modules' training flags."""

    grad: bool
    inference: bool
    autocast: Mapping[str, torch.dtype]
    """Device type to the dtype that autocast used there; empty if it was off."""
    training: tuple[bool, ...]
    """`training` of each of `model.modules()`, in order; empty: as the model is."""

    @classmethod
    def now(cls, model: nn.Module) -> CallMode:
        """The circumstances in force in this thread."""
        devices = ["cpu", *(["cuda"] if torch.cuda.is_initialized() else [])]
        return cls(
            grad=torch.is_grad_enabled(),
            inference=torch.is_inference_mode_enabled(),
            autocast={d: torch.get_autocast_dtype(d) for d in devices if torch.is_autocast_enabled(d)},
            training=tuple(module.training for module in model.modules()),
        )

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """These circumstances, in this thread; the training flags are put back at the end."""
        modules = list(model.modules())
        before = [module.training for module in modules]
        with ExitStack() as stack:
            stack.callback(_set_training, modules, before)
            if len(self.training) == len(modules):
                _set_training(modules, self.training)
            elif self.training:
                # the technique changed the tree: the root's flag stands for all
                _set_training(modules, [self.training[0]] * len(modules))
            if self.inference:
                stack.enter_context(torch.inference_mode())
            else:
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.set_grad_enabled(self.grad))
            for device in {"cpu", *self.autocast}:
                dtype = self.autocast.get(device)
                stack.enter_context(torch.autocast(device, dtype=dtype, enabled=dtype is not None))
            yield


def _set_training(modules: list[nn.Module], flags: Any) -> None:
    for module, flag in zip(modules, flags, strict=True):
        if module.training is not flag:
            # not `train()`, which would also set the children
            module.training = flag


@dataclass(frozen=True, slots=True)
class Workload:
    """A model and one way of calling it.

    Attributes:
        model: the live root module.
        args: positional inputs, as the model got them.
        kwargs: keyword inputs.
        mode: circumstances of the call.
        origin: how the workload was found.
        signatures: all input signatures that were seen, most time first.
        calls: root calls that were seen.
        expression: for ``%optimize EXPR``, its text.
        evaluate_expression: for ``%optimize EXPR``, runs it with another model in the model's place.
        mutates_inputs: its forward writes to its inputs, so that each call needs a copy of them.
        writes_parameters: its forward writes to its own parameters.
        others: models that were called too.
        trains: whether the run that was watched changed the weights, or left gradients.
        obstacle: why the model must not be called again, or None.
    """

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    mode: CallMode
    origin: Origin = "call"
    signatures: tuple[Signature, ...] = ()
    calls: int = 1
    cell_ms: float | None = None
    call_ms: tuple[float, ...] = ()
    """Times of the calls in the cell's own run, in order."""
    expression: str | None = None
    evaluate_expression: Evaluated | None = None
    mutates_inputs: bool = False
    writes_parameters: bool = False
    others: tuple[OtherModel, ...] = ()
    trains: bool | None = None
    obstacle: str | None = None
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of_call(cls, model: object, inputs: object) -> Workload:
        """The workload ``model(*inputs)`` in the caller's grad mode and autocast.

        Args:
            model: the module to measure.
            inputs: a tensor, a tuple of positional inputs, or a dict of keyword inputs.

        Raises:
            InvalidModel: `model` is no module.
            InvalidInputs: `inputs` do not fit the signature of its `forward`.
        """
        model = checked_model(model)
        if any(nn.parameter.is_lazy(each) for each in [*model.parameters(), *model.buffers()]):
            raise InvalidModel(
                f"{type(model).__name__} has parameters that are not initialised yet: call it once, which "
                "gives them their shapes."
            )
        args, kwargs = as_call(inputs)
        _check_fit(model, args, kwargs)
        return cls(model, args, kwargs, CallMode.now(model), signatures=(_signature(args, kwargs),))

    @property
    def device(self) -> torch.device:
        """Where the model computes: the device of its parameters, or else of its inputs."""
        for tensor in [
            *self.model.parameters(),
            *self.model.buffers(),
            *tree.tensors((self.args, self.kwargs)),
        ]:
            return tensor.device
        return torch.device("cpu")

    @property
    def batch_size(self) -> int | None:
        """First dimension that all input tensors of one dimension or more share, or None."""
        sizes = {
            t.shape[0] for t in tree.tensors((self.args, self.kwargs)) if t.dim() > 0 and not t.is_nested
        }
        return sizes.pop() if len(sizes) == 1 and self.expression is None else None

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """One line for each leaf of the inputs."""
        return tuple(
            _spec(name, leaf) for name, leaf in [*tree.leaves(self.args, "args"), *tree.leaves(self.kwargs)]
        )

    def as_expression(self, run: Evaluated) -> Workload:
        """This workload with `run` in the place of the model's own call."""
        return replace(self, evaluate_expression=run, mutates_inputs=False)

    def fresh_inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs for one call: the kept ones, or a copy of them where the model writes to its inputs."""
        return tree.clone((self.args, self.kwargs)) if self.mutates_inputs else (self.args, self.kwargs)

    def call(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call of `model` (the live one, or a draft of it), nothing around it."""
        if self.evaluate_expression is not None:
            return self.evaluate_expression(model)
        return model(*args, **kwargs)

    def outputs(self, model: nn.Module) -> Any:
        """What `model` answers on the kept inputs, cut from its graph and copied; leaves no trace in it.

        Random layers draw the same numbers at each call, so that two models can be compared.
        """
        with (
            self.undisturbed(model),
            self.mode.applied(model),
            torch.random.fork_rng(devices=self._rng_devices()),
        ):
            torch.manual_seed(0)
            args, kwargs = self.fresh_inputs()
            outputs = self.call(model, args, kwargs)
            with torch.no_grad():
                return tree.map_tensors(outputs, lambda tensor: tensor.detach().clone())

    def undisturbed(self, model: nn.Module) -> AbstractContextManager[None]:
        """Calls of `model` inside leave no trace in it, nor in the random state."""
        return undisturbed(model, parameters=self.writes_parameters)

    def _rng_devices(self) -> list[int]:
        return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []

    def not_replayed(self, error: Exception) -> Workload:
        """This workload, with what the model raised when it was called again."""
        return replace(self, obstacle=f"called again, it raised {type(error).__name__}: {error}")

    def probed(self) -> Workload:
        """This workload after one trial call, with what the call showed: obstacles, and written inputs.

        A model that raises when it is called again is not replayed: `obstacle` says why.
        """
        if self.obstacle is not None:
            return self
        plain = tree.is_plain((self.args, self.kwargs))
        # the inputs may be the user's own
        args, kwargs = tree.clone((self.args, self.kwargs))
        before, weights = _stamps((args, kwargs)), versions(self.model)
        try:
            with (
                undisturbed(self.model, parameters=self.origin == "call" and affordable(self.model)),
                self.mode.applied(self.model),
            ):
                self.call(self.model, args, kwargs)
                writes = self.writes_parameters or versions(self.model) != weights
        except Exception as error:  # noqa: BLE001 (the user's own forward may raise anything)
            return self.not_replayed(error)
        # a key-value cache and its like tell no writes: such inputs are copied for each call
        mutates = not plain or before != _stamps((args, kwargs))
        return replace(self, writes_parameters=writes, mutates_inputs=mutates)


def checked_model(model: object) -> nn.Module:
    """`model`, if it is a module. Raises `InvalidModel` with what it is instead."""
    if not isinstance(model, nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else f"of type {type(model).__name__}"
        raise InvalidModel(f"The model must be a torch.nn.Module, and this is {kind}.")
    return model


def as_call(inputs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword inputs of a call: of a tensor, a tuple of positional ones, or a dict of keyword ones."""
    if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
        return inputs, {}
    if isinstance(inputs, Mapping):
        return (), {str(key): value for key, value in inputs.items()}
    return (inputs,), {}


def _check_fit(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return  # scripted and built-in forwards tell no signature
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidInputs(
            f"The inputs do not fit {type(model).__name__}.forward{signature}: {error}. Give a tensor, a tuple "
            "of positional inputs, or a dict of keyword inputs."
        ) from error


def _stamps(inputs: Any) -> list[tuple[str, int, int]]:
    """What differs after any write to `inputs`: to their tensors, or to their containers."""
    return [
        (name, id(leaf), leaf._version if isinstance(leaf, torch.Tensor) and not leaf.is_inference() else 0)
        for name, leaf in tree.leaves(inputs)
    ]


def _spec(name: str, leaf: Any) -> InputSpec:
    if not isinstance(leaf, torch.Tensor):
        return InputSpec(name=name, kind=type(leaf).__name__)
    return InputSpec(name=name, kind="tensor", shape=tuple(leaf.shape), dtype=dtype_name(leaf.dtype),
                     device=str(leaf.device))  # fmt: skip


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def signature_text(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """One line that is equal for two calls whose inputs have equal shapes, types and structure."""
    parts = []
    for name, leaf in [*tree.leaves(args), *tree.leaves(kwargs)]:
        if isinstance(leaf, torch.Tensor):
            shape = "x".join(map(str, leaf.shape)) if not leaf.is_nested else "nested"
            text = f"{dtype_name(leaf.dtype)}[{shape}]"
        else:
            text = repr(leaf) if isinstance(leaf, bool | int | type(None)) else type(leaf).__name__
        parts.append(f"{name}={text}" if name and not name.startswith("[") else text)
    return ", ".join(parts)


def _signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Signature:
    return Signature(text=signature_text(args, kwargs), calls=1, total_ms=0.0, measured=True)
