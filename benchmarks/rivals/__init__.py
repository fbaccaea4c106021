"""Our best click beside other libraries used directly, on the same model and inputs, in turns."""

from __future__ import annotations

from benchmarks.rivals.race import rivals, zoo_rivals

__all__ = ["rivals", "zoo_rivals"]
