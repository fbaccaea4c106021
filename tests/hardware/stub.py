"""NVIDIA machines that are not here: a stub of their library, and a process of its own for each."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("nvml_stub.c")
WITNESS = Path(__file__).with_name("witness.py")

MACHINES = ("v100", "mig", "wsl", "vgpu", "lost", "lost-later", "mismatch", "no-driver", "not-supported",
            "no-permission", "no-permission-at-all", "no-handle", "no-gpu", "zeros", "odd-name", "two")  # fmt: skip


def obstacle() -> str | None:
    """Why no stub can be built here."""
    if sys.platform != "linux":
        return "the stub is a Linux library"
    return None if _compiler() else "no C compiler (cc or gcc) to build the stub of NVML with"


@functools.cache
def built() -> Path:
    """The folder that holds the stub, under the name of the real library."""
    folder = Path(tempfile.mkdtemp(prefix="nvml-stub-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(
        [_compiler() or "cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
         str(SOURCE), "-o", str(folder / "libnvidia-ml.so.1")], check=True,
    )  # fmt: skip
    return folder


@functools.cache
def answers(machine: str, what: str = "all") -> dict[str, Any]:
    """What our code says of a machine: `witness.py`, run on it. Fails if that prints anything else."""
    done = subprocess.run(
        [sys.executable, "-W", "error:::jupyter_optim", str(WITNESS), what], capture_output=True, text=True,
        check=False, timeout=120, cwd=WITNESS.parents[2], env=environment(machine),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    *rest, said = done.stdout.strip().splitlines()
    assert rest == []
    found: dict[str, Any] = json.loads(said)
    return found


def environment(machine: str) -> dict[str, str]:
    """The environment of a process on that machine."""
    path = os.pathsep.join(filter(None, (str(built()), os.environ.get("LD_LIBRARY_PATH"))))
    root = str(WITNESS.parents[2])
    return {**os.environ, "LD_LIBRARY_PATH": path, "NVML_STUB": machine, "PYTHONPATH": root}


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")
