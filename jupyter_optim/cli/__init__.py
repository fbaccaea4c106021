"""``jupyter optim``: what was measured in a saved notebook, without a kernel, without torch, and for CI."""

from jupyter_optim.cli.command import main

__all__ = ["main"]
