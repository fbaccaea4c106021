"""One model's life: measured, changed on a draft, verified, grafted or left, undone."""

from jupyter_optim.session.keep import load
from jupyter_optim.session.session import Session
from jupyter_optim.session.start import current, optimize, optimize_expression
from jupyter_optim.session.step import Step
from jupyter_optim.session.terms import Terms
from jupyter_optim.session.watch import Watch, watch

__all__ = ["Session", "Step", "Terms", "Watch", "current", "load", "optimize", "optimize_expression", "watch"]
