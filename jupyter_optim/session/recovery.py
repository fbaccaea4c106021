"""Train a draft after a technique that took something out: by the user's own function, on the draft alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from jupyter_optim.errors import Cancelled, TrainFailed
from jupyter_optim.guard import undisturbed, versions
from jupyter_optim.module_hooks import ModuleHooks
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.technique import Change, Technique

Train = Callable[[nn.Module], Any]

_NEWS_S = 0.25

_ADVICE = (
    "Training afterwards may make up for it: give `train=fn`, or `--train NAME`, a function that trains the model "
    "that it is given."
)


def advised(reason: str, technique: Technique, train: Train | None) -> str:
    """`reason` of a step that lost quality, with what would help, if that has not been done."""
    return f"{reason} {_ADVICE}" if technique.lossy and train is None else reason


def trained_source(source: str, technique: Technique, train: Train | None) -> str:
    """`source` of a step, with a reminder of the training that followed it."""
    if not technique.lossy or train is None:
        return source
    name = getattr(train, "__name__", "train")
    return f"{source.rstrip()}\n# then the model was trained by your {name}(model): do that here\n"


def recover(train: Train, change: Change, live: nn.Module, label: str, progress: Progress) -> float:
    """Call ``train(draft)``, and leave nothing of it but the draft's weights and buffers.

    Gradients are enabled. A draft without any parameter that requires them gets them for all, as long as it is
    trained. What was set to zero stays zero. *Cancel* takes effect at the next call of a module, or step of an
    optimizer, in this thread. Whatever `train` does to the live model is put back.

    Args:
        train: the user's function of a model.
        change: what a technique made of a draft whose weights are clones.
        live: the model that the draft was made from.
        label: the technique's, for the news.
        progress: told how far the training is.

    Returns:
        How long it took, in seconds.

    Raises:
        TrainFailed: `train` raised, wrote to the live model, or did not train the model that it was given.
        Cancelled: *Cancel* was pressed.
    """
    draft = change.model
    began = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(_live_kept(live))
        stack.enter_context(_draft_tidied(draft))
        before, written = _contents(draft), versions(live)
        watch = _Watch(draft, _Zeros(draft, change.zeros), label, progress)
        with watch, torch.inference_mode(mode=False), torch.enable_grad():
            _call(train, draft, progress)
        watch.zeros.enforce()
        if versions(live) != written:
            raise TrainFailed(
                "train wrote to the weights of the live model, which were put back: it must train the model that it "
                "is given, and no global one."
            )
        if not watch.called:
            raise TrainFailed(
                "train never called the model that it was given: it seems to use a global one. Write it as "
                "`def train(model): ...` and train that model, so that a draft can be trained."
            )
        if _contents(draft) == before:
            raise TrainFailed(
                "train changed no weight of the model that it was given: it must train that one, in place, and no copy."
            )
    return time.perf_counter() - began


def _call(train: Train, draft: nn.Module, progress: Progress) -> None:
    try:
        train(draft)
    except Cancelled:
        raise
    except Exception as error:
        progress.check()  # the user's own loop may have made another error of it
        raise TrainFailed(f"train raised {type(error).__name__}: {error}") from error
    progress.check()  # or may have swallowed it


class _Watch:
    """Looks on while the draft is trained: *Cancel*, news, zeros, and whether the draft is called at all."""

    def __init__(self, draft: nn.Module, zeros: _Zeros, label: str, progress: Progress) -> None:
        self.called = False
        self.zeros = zeros
        self._parts = set(draft.modules())
        self._label, self._progress = label, progress
        self._thread = threading.get_ident()
        self._steps = 0
        self._began = self._told = time.perf_counter()
        self._stack = ExitStack()

    def __enter__(self) -> None:
        self._progress.report(f"{self._label}: training the draft", None)
        with ExitStack() as stack:
            stack.enter_context(ModuleHooks(self._before_module, lambda *_args, **_kwargs: None))
            stack.callback(register_optimizer_step_post_hook(self._after_step).remove)
            stack.enter_context(self.zeros)
            self._stack = stack.pop_all()

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def _before_module(self, module: nn.Module, _args: tuple[Any, ...]) -> None:
        # a cell that the user runs meanwhile, in another thread, is not ours to stop
        if threading.get_ident() == self._thread:
            self.called = self.called or module in self._parts
            self._look_up()

    def _after_step(self, *_: Any) -> None:
        if threading.get_ident() == self._thread:
            self._steps += 1
            self.zeros.enforce()
            self._look_up()

    def _look_up(self) -> None:
        self._progress.check()
        now = time.perf_counter()
        if now - self._told > _NEWS_S:
            self._told = now
            spent = f"{self._steps} steps in {now - self._began:.0f} s"
            self._progress.report(f"{self._label}: training the draft, {spent}", None)


class _Zeros:
    """While it is entered, gradients of weights that are to stay zero are zero; `enforce` makes up for the rest."""

    def __init__(self, draft: nn.Module, zeros: dict[str, torch.Tensor]) -> None:
        self._draft, self._zeros = draft, zeros
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        for name, where in self._zeros.items():
            parameter = self._draft.get_parameter(name)
            if parameter.requires_grad:
                # an optimizer that mixes entries or decays them is seen to by `enforce`
                hook = parameter.register_hook(lambda gradient, at=where: gradient.masked_fill(at, 0))
                self._handles.append(hook)

    def __exit__(self, *raised: object) -> None:
        for handle in self._handles:
            handle.remove()

    def enforce(self) -> None:
        """Set to zero what must be zero. Raises `TrainFailed` if the weights are there no more."""
        with torch.no_grad():
            for name, where in self._zeros.items():
                try:
                    self._draft.get_parameter(name).masked_fill_(where, 0)
                except (AttributeError, RuntimeError) as error:
                    raise TrainFailed(f"train exchanged `{name}`, whose zeros must stay: {error}") from error


@contextmanager
def _live_kept(live: nn.Module) -> Iterator[None]:
    """The live model, its gradients and flags, and this thread count are as before at the end."""
    flags = [(parameter, parameter.requires_grad, parameter.grad) for parameter in live.parameters()]
    threads = torch.get_num_threads()
    with undisturbed(live, parameters=True):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            for parameter, required, gradient in flags:
                if parameter.requires_grad is not required:
                    parameter.requires_grad_(required)
                parameter.grad = gradient


@contextmanager
def _draft_tidied(draft: nn.Module) -> Iterator[None]:
    """The draft's modes and flags are as before at the end, and no gradient is left."""
    modes = {module: module.training for module in draft.modules()}
    flags = {parameter: parameter.requires_grad for parameter in draft.parameters()}
    if not any(flags.values()):
        for parameter in flags:
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.requires_grad_(True)
    try:
        yield
    finally:
        for module in draft.modules():
            module.training = modes.get(module, modes[draft])
        for parameter in draft.parameters():
            parameter.requires_grad_(flags.get(parameter, parameter.requires_grad))
            parameter.grad = None


def _contents(model: nn.Module) -> list[tuple[float, float]]:
    """For each parameter, sums that tell its contents: writes through ``.data`` are not counted as writes."""
    with torch.no_grad():
        real = [torch.view_as_real(each) if each.is_complex() else each for each in model.parameters()]
        return [(float(each.sum(dtype=torch.float64)), float(each.double().square().sum())) for each in real]
