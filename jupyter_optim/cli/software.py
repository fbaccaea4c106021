"""Of the doctor: Python, PyTorch, Jupyter, the extension, and the extras."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

from jupyter_optim.cli.examined import Examined, numbers, version_of

_EXTENSION = "jupyter-optim"
_EXTRAS = {
    "engines": ("nncf", "onnx", "onnxruntime", "onnxscript", "openvino"),
    "tensorboard": ("tensorboard", "torch_tb_profiler"),
    "tensorrt": ("torch_tensorrt",),
}
_FOR = {
    "engines": "the model on OpenVINO and ONNX Runtime, and exports to their files",
    "tensorboard": "traces opened in TensorBoard from the panel",
    "tensorrt": "the model on TensorRT, on an NVIDIA GPU",
}
_LIST_S = 120
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def python() -> Iterator[Examined]:
    """Python and this package."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Examined(
        "Python", sys.version_info >= (3, 11), version, needed=True,
        remedy="" if sys.version_info >= (3, 11) else "an environment with Python 3.11 or later",
    )  # fmt: skip
    own = version_of("jupyter-optim")
    yield Examined("jupyter-optim", own is not None, own or "not installed as a package: run from its sources",
                   remedy="" if own else "pip install jupyter-optim")  # fmt: skip


def torch() -> Iterator[Examined]:
    """PyTorch, and what compiles for it."""
    version = version_of("torch")
    if version is None:
        yield Examined("PyTorch", False, "not installed", "pip install torch", needed=True)
        return
    fits = numbers(version) >= (2, 11)
    yield Examined("PyTorch", fits, version if fits else f"{version} is too old", needed=True,
                   remedy="" if fits else "pip install --upgrade torch")  # fmt: skip
    compiler = next((name for name in ("g++", "clang++", "cl") if shutil.which(name)), None)
    yield Examined(
        "C++ compiler", compiler is not None, compiler or "none, so torch.compile does not work on the CPU",
        remedy="" if compiler else "sudo apt install g++",
    )  # fmt: skip


def frontend() -> Iterator[Examined]:
    """JupyterLab or Notebook, the kernel, and the controls."""
    for what, package, least in (
        ("JupyterLab", "jupyterlab", (4, 4)), ("kernel", "ipykernel", (7, 0)), ("controls", "ipywidgets", (8, 1)),
    ):  # fmt: skip
        version = version_of(package)
        fits = version is not None and numbers(version) >= least
        wanted = ".".join(map(str, least))
        words = f"{package} {version}" if fits else f"{package} {version or 'is not installed'}"
        yield Examined(
            what, fits, words, needed=True, remedy="" if fits else f"pip install '{package}>={wanted}'"
        )
    notebook = version_of("notebook")
    if notebook is not None:
        yield Examined("Notebook", numbers(notebook) >= (7, 0), f"notebook {notebook}",
                       remedy="" if numbers(notebook) >= (7, 0) else "pip install 'notebook>=7'")  # fmt: skip


def labextension() -> Iterator[Examined]:
    """What JupyterLab says of the extension; without it, reports are shown as html."""
    what = "labextension"
    if version_of("jupyterlab") is None:
        return
    try:
        done = subprocess.run(
            [sys.executable, "-m", "jupyterlab.labextensions", "list"], capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=_LIST_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Examined(what, False, f"JupyterLab could not be asked: {error}", "jupyter labextension list")
        return
    listed = _ANSI.sub("", done.stdout + done.stderr).splitlines()
    line = next((each.strip() for each in listed if re.match(rf"\s*{_EXTENSION} v", each)), None)
    if line is None:
        yield Examined(what, False, "JupyterLab does not find it; reports are shown as html only",
                       "pip install --force-reinstall --no-deps jupyter-optim")  # fmt: skip
    elif " disabled " in f"{line} ":
        yield Examined(what, False, "disabled", f"jupyter labextension enable {_EXTENSION}")
    elif " OK" not in line:
        yield Examined(
            what, False, f"does not fit this JupyterLab: {line}", "pip install --upgrade jupyter-optim"
        )
    else:
        yield Examined(what, True, f"{' '.join(line.split()[1:2])}, enabled and OK")


def extras() -> Iterator[Examined]:
    """Packages that more is possible with."""
    for extra, modules in _EXTRAS.items():
        absent = [name for name in modules if importlib.util.find_spec(name) is None]
        words = _FOR[extra] if not absent else f"{', '.join(absent)} not installed; for {_FOR[extra]}"
        yield Examined(
            extra, not absent, words, "" if not absent else f"pip install 'jupyter-optim[{extra}]'"
        )
