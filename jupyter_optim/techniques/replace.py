"""Put new modules in the places of old ones, where nothing is lost by that."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


def replace_modules_(root: nn.Module, made: Mapping[str, nn.Module]) -> nn.Module:
    """For each path of `made`, put that module there, and wherever else the one there before is used.

    Returns:
        The root: another one if `made` replaces the root itself.
    """
    modules = dict(root.named_modules())
    new: dict[nn.Module, nn.Module] = {}
    for path, module in made.items():
        former = modules[path]
        module.train(former.training)
        new[former] = module
    for parent in modules.values():
        for name, child in parent._modules.items():
            if child in new:
                parent._modules[name] = new[child]
    return new.get(root, root)


def has_hooks(module: nn.Module) -> bool:
    """Whether it has hooks of the user's, or those that make its weights: a module in its place would be without."""
    return bool(module._forward_hooks or module._forward_pre_hooks)
