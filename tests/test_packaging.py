"""What a user gets who installs the wheel: everything, on a machine that has no Node."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = "data/data/share/jupyter/labextensions/jupyter-optim"


@pytest.fixture(scope="session")
def nodeless(tmp_path_factory):
    """An environment of variables with an empty PATH, and a home that has nothing of Jupyter's."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    return {**kept, "PATH": str(home / "bin"), "HOME": str(home), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@pytest.fixture(scope="session")
def built(tmp_path_factory, nodeless):
    """The folder of a fresh sdist, and of the wheel that was made from it, without Node."""
    folder = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)], nodeless)
    return folder


@pytest.fixture(scope="session")
def sdist(built):
    (path,) = built.glob("*.tar.gz")
    return path


@pytest.fixture(scope="session")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(tmp_path_factory, wheel, nodeless):
    """The Python of an environment into which the wheel was installed; its dependencies are this one's."""
    folder = tmp_path_factory.mktemp("user") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    _run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        nodeless,
    )
    own = Path(
        _run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], nodeless).strip()
    )
    # a plain path, whose own .pth files are not read: the editable install of this tree stays out of sight
    theirs = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    (own / "dependencies.pth").write_text("\n".join(theirs))
    return python


def test_the_wheel_carries_the_extension_the_types_and_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    base = wheel.name.removesuffix("-py3-none-any.whl")
    shared = f"{base}.{SHARED}"
    assert len(names) == len(set(names))
    assert "jupyter_optim/py.typed" in names
    assert f"{base}.dist-info/licenses/LICENSE" in names
    assert {f"{shared}/package.json", f"{shared}/install.json", f"{shared}/static/style.js"} <= set(names)
    assert any(name.startswith(f"{shared}/static/remoteEntry.") for name in names)


def test_the_wheel_has_the_package_and_nothing_beside_it(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    base = wheel.name.removesuffix("-py3-none-any.whl")
    assert tops == {"jupyter_optim", f"{base}.data", f"{base}.dist-info"}
    assert not any(
        name.startswith("jupyter_optim/labextension") for name in zipfile.ZipFile(wheel).namelist()
    )


def test_the_extension_names_the_file_that_loads_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        shared = f"{wheel.name.removesuffix('-py3-none-any.whl')}.{SHARED}"
        package = json.loads(archive.read(f"{shared}/package.json"))
        assert f"{shared}/{package['jupyterlab']['_build']['load']}" in archive.namelist()


def test_the_sdist_carries_the_built_extension_and_its_sources_but_no_modules_of_node(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "jupyter_optim/labextension/package.json",
        "labextension/yarn.lock",
        "labextension/.yarnrc.yml",
        "labextension/src/index.ts",
        "LICENSE",
    } <= names
    assert not any("node_modules" in name or name.startswith("labextension/lib") for name in names)


def test_jupyterlab_lists_the_installed_extension_as_enabled_and_ok(installed, nodeless):
    code = "import sys; from jupyterlab.labextensions import main; sys.exit(main(['list']))"
    # JupyterLab writes this list to its log, so both streams are read
    listed = _run([str(installed), "-c", code], nodeless, stderr=subprocess.STDOUT)
    (line,) = (line for line in listed.splitlines() if "jupyter-optim" in line)
    assert "enabled" in line
    assert "OK" in line
    assert "jupyter_optim" in line, "the Python package that brought it"


def test_the_command_line_comes_with_the_wheel(installed, nodeless, tmp_path):
    notebook = str(ROOT / "example_notebooks/digits.ipynb")
    script = str(installed.with_name("jupyter-optim"))
    shown = _run([script, "show", notebook], nodeless, cwd=tmp_path)
    assert "Sequential takes " in shown
    # and `jupyter` finds it by its name
    as_jupyter = [str(installed), "-m", "jupyter", "optim", "show", notebook]
    assert _run(as_jupyter, {**nodeless, "PATH": str(installed.parent)}, cwd=tmp_path) == shown


def test_the_doctor_finds_the_installed_extension(installed, nodeless, wheel, tmp_path):
    done = subprocess.run(
        [str(installed), "-m", "jupyter_optim.cli", "doctor"], env=nodeless, cwd=tmp_path, capture_output=True,
        text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    (line,) = (each for each in done.stdout.splitlines() if "labextension" in each)
    assert line.startswith("ok ")
    assert f"v{wheel.name.split('-')[1]}, enabled and OK" in line
    assert done.returncode == 0, done.stdout


def test_versions_of_python_and_npm_come_from_one_place(wheel):
    import tomllib

    ours = json.loads((ROOT / "labextension/package.json").read_text())["version"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"] == {"source": "nodejs", "path": "labextension/package.json"}
    assert wheel.name.split("-")[1] == ours
    with zipfile.ZipFile(wheel) as archive:
        shared = f"{wheel.name.removesuffix('-py3-none-any.whl')}.{SHARED}"
        assert json.loads(archive.read(f"{shared}/package.json"))["version"] == ours
    written = [
        path
        for path in (ROOT / "jupyter_optim").rglob("*.py")
        if f'"{ours}"' in path.read_text(encoding="utf-8")
    ]
    assert not written, "no second place to forget"


def test_the_installed_package_imports_and_knows_its_version(installed, nodeless, wheel, tmp_path):
    code = "import jupyter_optim as jo; print(jo.__version__, jo.__file__)"
    version, path = _run([str(installed), "-c", code], nodeless, cwd=tmp_path).split()
    assert f"-{version}-" in wheel.name
    assert Path(path).is_relative_to(installed.parent.parent)


@pytest.mark.parametrize(
    "code",
    [
        "import jupyter_optim; jupyter_optim.__version__; dir(jupyter_optim)",
        "import jupyter_optim; jupyter_optim.OptimError",
        "import jupyter_optim; jupyter_optim.Report",
        "import jupyter_optim; jupyter_optim.compare; jupyter_optim.Comparison",
    ],
)
def test_the_light_names_bring_neither_torch_nor_ipython(code):
    heavy = _modules_after(code) & {"torch", "IPython", "ipywidgets", "matplotlib", "torchao", "transformers"}
    assert not heavy


def test_the_magic_loads_without_torch():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.extension_manager.load_extension('jupyter_optim')\n"
        "assert 'optimize' in shell.magics_manager.magics['cell']"
    )
    assert not _modules_after(code) & {"torch", "torchao", "transformers"}


def test_every_public_name_is_there_and_no_other_is():
    import jupyter_optim

    for name in jupyter_optim.__all__:
        assert getattr(jupyter_optim, name) is not None
    assert set(jupyter_optim.__all__) == set(dir(jupyter_optim))
    with pytest.raises(AttributeError, match="optimise"):
        jupyter_optim.optimise  # noqa: B018


def test_techniques_is_a_function_also_after_its_subpackage_was_imported():
    import jupyter_optim.techniques.registry

    assert jupyter_optim.techniques() == jupyter_optim.techniques.registry.techniques()


def test_compare_is_a_function_also_after_its_package_was_imported():
    import jupyter_optim.analysis.compare

    assert jupyter_optim.compare is jupyter_optim.analysis.compare.compare


def _modules_after(code):
    report = "\nimport sys; print('\\n' + ' '.join(sys.modules))"
    return set(_run([sys.executable, "-c", code + report], os.environ).splitlines()[-1].split())


def _run(command, env, cwd=None, stderr=subprocess.PIPE):
    done = subprocess.run(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
