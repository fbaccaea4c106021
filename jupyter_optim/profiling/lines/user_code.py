"""Which code is the user's own, and what its lines are called in a report."""

from __future__ import annotations

import linecache
import os
import site
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jupyter_optim.privacy import Cleaner

_GENERATED = "TORCHINDUCTOR_CACHE_DIR"
"""Names the folder of the code that `torch.compile` generates; without it that is a ``torchinductor_NAME``."""

CellOf = Callable[[str], "Cell | None"]
"""Says which notebook cell was compiled under a file name, if one was."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A notebook cell."""

    name: str
    """``this cell``, or ``cell [3]``."""
    offset: int = 0
    """Lines that the editor shows above the first line that was compiled."""


_names: list[CellOf] = []
"""How the notebook names its cells: this floor knows no notebook, and `jupyter_optim.optimize` is called from cells."""


def name_cells_by(cell_of: CellOf | None) -> None:
    """Have `cell_of` say from now on which file names are cells; None: no one does."""
    _names[:] = [] if cell_of is None else [cell_of]


def cleaner() -> Cleaner:
    """Takes paths and names out of texts, and knows the notebook's cells."""

    def cell_name(filename: str) -> str | None:
        cell = _names[0](filename) if _names else None
        return None if cell is None else cell.name

    return Cleaner(cell_name=cell_name)


def _installed_into(folder: str) -> bool:
    """Whether pip put packages there (``pip install --target``): each leaves its metadata beside it."""
    return bool(folder) and next(Path(folder).glob("*.dist-info"), None) is not None


class UserCode:
    """Tells code of cells and local files from that of libraries.

    Args:
        cell_of: says which file names are notebook cells; by default as `name_cells_by` was told.
    """

    def __init__(self, cell_of: CellOf | None = None) -> None:
        self._cell_of = cell_of or next(iter(_names), lambda _: None)
        self._places: dict[str, Cell | None] = {}
        paths = sysconfig.get_paths()
        library = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib") if key in paths]
        library += [os.environ[_GENERATED]] if os.environ.get(_GENERATED) else []
        library += [*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[2])]
        library += [folder for folder in sys.path if _installed_into(folder)]
        self._libraries = tuple(os.path.realpath(folder) + os.sep for folder in library)

    def place(self, filename: str) -> Cell | None:
        """The cell or local file that was compiled under `filename`, or None if that is a library's."""
        if filename not in self._places:
            self._places[filename] = self._cell_of(filename) or self._local_file(filename)
        return self._places[filename]

    def text(self, filename: str, lineno: int) -> str:
        """The source of a line, without its line break; "" if it is not known."""
        return linecache.getline(filename, lineno).rstrip()

    def _local_file(self, filename: str) -> Cell | None:
        if not filename or filename.startswith("<") or not Path(filename).is_file():
            return None
        path = os.path.realpath(filename)
        parts = Path(path).parts
        if path.startswith(self._libraries) or {"site-packages", "dist-packages"} & set(parts):
            return None
        if any(part.startswith("torchinductor_") for part in parts):
            return None  # what `torch.compile` generates is no one's own
        return Cell(Cleaner().path(path))
