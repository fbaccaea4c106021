"""RAPL on a tree of files as Linux shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_optim.hardware.rapl import Rapl


def domain(root: Path, folder: str, name: str, energy_uj: int = 1000, span_uj: int = 1_000_000) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(name + "\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{span_uj}\n")
    return path


def say(path: Path, energy_uj: int) -> None:
    (path / "energy_uj").write_text(f"{energy_uj}\n")


def test_packages_alone_are_summed(tmp_path: Path) -> None:
    first, second = (
        domain(tmp_path, "intel-rapl:0", "package-0"),
        domain(tmp_path, "intel-rapl:1", "package-1"),
    )
    others = [domain(tmp_path, "intel-rapl:0:0", "core"), domain(tmp_path, "intel-rapl:2", "psys"),
              domain(tmp_path, "intel-rapl-mmio:0", "package-0")]  # fmt: skip
    (tmp_path / "intel-rapl").mkdir()
    rapl = Rapl(tmp_path)
    assert (rapl.reason, rapl.packages) == (None, 2)
    assert rapl.energy_j() == 0
    say(first, 301_000)
    say(second, 201_000)
    for other in others:
        say(other, 900_000)
    assert rapl.energy_j() == pytest.approx(0.5)


def test_a_counter_that_wraps(tmp_path: Path) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0", energy_uj=900_000)
    rapl = Rapl(tmp_path)
    say(package, 100_000)
    assert rapl.energy_j() == pytest.approx(0.2)
    say(package, 50_000)
    assert rapl.energy_j() == pytest.approx(0.2 + 0.95)


def test_none_here(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        rapl = Rapl(root)
        assert rapl.energy_j() is None
        assert "no energy counters" in rapl.reason
    domain(tmp_path, "intel-rapl:0", "psys")
    assert "of a CPU package" in Rapl(tmp_path).reason


def test_forbidden_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0")
    read = Path.read_text

    def refuse(path: Path, *args, **kwargs) -> str:
        # root may read whatever the modes say, so the mode alone would not do
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    rapl = Rapl(tmp_path)
    assert rapl.energy_j() is None
    assert "only root" in rapl.reason
    assert "sudo chmod a+r" in rapl.reason


@pytest.mark.parametrize("content", ["", "many\n"])
def test_nonsense(tmp_path: Path, content: str) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0")
    rapl = Rapl(tmp_path)
    (package / "energy_uj").write_text(content)
    assert rapl.energy_j() is None
    assert "cannot be read" in rapl.reason


def test_gone_on_the_way_and_wrapped_without_a_span(tmp_path: Path) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0")
    rapl = Rapl(tmp_path)
    (package / "max_energy_range_uj").unlink()
    say(package, 0)
    assert rapl.energy_j() is None
    assert rapl.reason
