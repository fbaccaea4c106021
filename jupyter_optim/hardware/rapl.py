"""RAPL: the energy counters of CPU packages, as Linux shows them under ``/sys/class/powercap``.

Intel's and AMD's. Since 2020 only root may read them (CVE-2020-8694), and virtual machines have none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/class/powercap")

_PACKAGE = re.compile(r"intel-rapl:\d+")
"""Cores and DRAM are below these, as ``intel-rapl:0:1``; ``intel-rapl-mmio:0`` shows a package once more."""


class Rapl:
    """The counters of all packages; `reason` says why they cannot be read.

    Args:
        root: where the system shows them.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.reason: str | None = None
        self._domains = self._found(root)
        if self._domains:
            self.energy_j()

    @property
    def packages(self) -> int:
        """How many packages are read."""
        return len(self._domains)

    def energy_j(self) -> float | None:
        """Energy of all packages since this was opened; None, with `reason`, once one cannot be read.

        A counter wraps within minutes (262 kJ is usual), so ask more often than that.
        """
        if self.reason is not None:
            return None
        for domain in self._domains:
            self.reason = domain.advance()
            if self.reason is not None:
                return None
        return sum(domain.spent_uj for domain in self._domains) * 1e-6

    def _found(self, root: Path) -> list[_Domain]:
        try:
            folders = sorted(path for path in root.iterdir() if _PACKAGE.fullmatch(path.name))
            named = [(folder, (folder / "name").read_text().strip()) for folder in folders]
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                self.reason = (
                    f"this system shows no energy counters (RAPL, {root}), as is usual in a virtual machine"
                )
            else:
                self.reason = f"the energy counters (RAPL) cannot be listed: {error.strerror}"
            return []
        packages = [_Domain(folder) for folder, name in named if name.startswith("package")]
        if not packages:
            self.reason = f"this system shows no energy counters of a CPU package (RAPL, {root})"
        return packages


@dataclass(slots=True)
class _Domain:
    """One package's counter."""

    folder: Path
    spent_uj: int = 0
    last_uj: int | None = None

    def advance(self) -> str | None:
        """Read on; the reason if that fails."""
        try:
            now_uj = int((self.folder / "energy_uj").read_text())
            if self.last_uj is not None:
                step = now_uj - self.last_uj
                if step < 0:
                    step += int((self.folder / "max_energy_range_uj").read_text())
                if step < 0:
                    return "the CPU's energy counter (RAPL) ran backwards"
                self.spent_uj += step
        except PermissionError:
            return (
                "only root may read the CPU's energy counters (RAPL); until the next start of the machine, "
                f"`sudo chmod a+r {self.folder.parent}/intel-rapl:*/energy_uj` lets everybody"
            )
        except (OSError, ValueError) as error:
            return f"the CPU's energy counter (RAPL) cannot be read: {error}"
        self.last_uj = now_uj
        return None
