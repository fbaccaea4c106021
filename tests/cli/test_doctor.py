"""What the doctor says of this machine, and of poorer ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import psutil

TREE = Path(__file__).parents[2]


def doctor(*options, **variables):
    return subprocess.run(
        [sys.executable, *options, "-m", "jupyter_optim.cli", "doctor"], env={**os.environ, **variables},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def told(done):
    """What is said of each thing: whether it is there, the words, and the remedy."""
    found, what = {}, None
    for line in done.stdout.splitlines():
        head = re.match(r"(ok|missing) +(\S.*?)  +(.*)", line)
        if head:
            what = head[2]
            found[what] = [head[1] == "ok", head[3], ""]
        elif line.strip().startswith("-> "):
            found[what][2] = line.strip()[3:]
        else:
            found[what][1] += " " + line.strip()
    return found


def test_it_tells_what_is_here():
    import torch

    done = doctor()
    found = told(done)
    assert (done.returncode, done.stderr) == (0, "")
    assert found["Python"] == [True, ".".join(map(str, sys.version_info[:3])), ""]
    assert found["PyTorch"][:2] == [True, torch.__version__]
    assert f"{psutil.cpu_count(logical=False) or psutil.cpu_count()} cores" in found["processor"][1]
    assert found["CUDA"][0] == torch.cuda.is_available()
    assert {
        "NVML",
        "RAPL",
        "JupyterLab",
        "kernel",
        "controls",
        "labextension",
        "engines",
        "tensorboard",
    } <= set(found)
    assert all(not remedy for ok, _, remedy in found.values() if ok)


def test_it_says_how_to_get_what_is_missing(tmp_path):
    # GIVEN an environment with the small dependencies alone
    installed = Path(sysconfig.get_path("purelib"))
    for each in installed.iterdir():
        if each.name.startswith(
            ("msgspec", "psutil", "pynvml", "nvidia_ml_py", "platformdirs", "typing_extensions")
        ):
            (tmp_path / each.name).symlink_to(each)
    # WHEN it is looked at, THEN each line that says missing has the command, and the status says so
    done = doctor("-S", PYTHONPATH=f"{TREE}{os.pathsep}{tmp_path}", PATH=str(tmp_path))
    found = told(done)
    assert (done.returncode, done.stderr) == (1, "")
    assert found["PyTorch"] == [False, "not installed", "pip install torch"]
    assert found["JupyterLab"][2] == "pip install 'jupyterlab>=4.4'"
    assert found["controls"][2] == "pip install 'ipywidgets>=8.1'"

    assert found["engines"][2] == "pip install 'jupyter-optim[engines]'"
    assert found["tensorboard"][2] == "pip install 'jupyter-optim[tensorboard]'"
    assert found["tensorrt"][2] == "pip install 'jupyter-optim[tensorrt]'"


def test_an_extension_that_is_switched_off_is_told_with_the_way_back(tmp_path):
    (tmp_path / "labconfig").mkdir()
    (tmp_path / "labconfig/page_config.json").write_text(
        json.dumps({"disabledExtensions": {"jupyter-optim": True}})
    )
    ok, words, remedy = told(doctor(JUPYTER_CONFIG_DIR=str(tmp_path)))["labextension"]
    assert (ok, remedy) == (False, "jupyter labextension enable jupyter-optim")
    assert "disabled" in words
