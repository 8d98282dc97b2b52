"""What is installed from the wheel: all of the package, and nothing else.

The rooms are linked folders. A build back end that skips links makes an empty wheel without an
error, and a type checker that skips them checks nothing: both are looked at here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "agentainer_flow"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.is_symlink())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as an index would get it: from the unpacked sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, "--sdist", folder)
    (sdist,) = folder.glob("*.tar.gz")
    run(["tar", "-xf", str(sdist)], folder)
    build(folder / sdist.name.removesuffix(".tar.gz"), "--wheel", folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment with the wheel, which sees the dependencies installed here."""
    folder = tmp_path_factory.mktemp("clean venv")
    venv.create(folder)
    site = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python", "install"]
    run([*pip, "--quiet", "--no-deps", "--no-index", str(wheel)], folder)
    # As a plain path: a .pth file in there, such as that of the editable install, is not followed.
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def test_the_wheel_has_one_name_at_its_top(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"agentainer_flow"}


def test_the_wheel_has_every_file_of_every_room(wheel: Path) -> None:
    wanted = {f"agentainer_flow/{path}" for room in ROOMS for path in files(PACKAGE / room, room)}
    assert wanted
    assert wanted - names(wheel) == set()
    assert "agentainer_flow/py.typed" in names(wheel)
    assert any(name.startswith("agentainer_flow/core/lua/") for name in names(wheel))


def test_the_import_of_the_readme_works_elsewhere(python: Path, tmp_path: Path) -> None:
    code = "import agentainer_flow; from agentainer_flow import workflow, step, parallel; "
    found = run([str(python), "-c", code + "print(agentainer_flow.__file__)"], tmp_path)
    assert Path(found).is_relative_to(python.parents[1])


def test_the_console_script_says_its_version(python: Path, tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] in run([str(python.parent / "agentainer"), "--version"], tmp_path)


def test_the_type_checker_looks_into_every_room() -> None:
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pyright"]["include"]
    assert {f"src/agentainer_flow/{room}" for room in ROOMS} <= set(include)


def test_the_lock_names_everything_that_is_asked_for() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras: dict[str, list[str]] = table["project"]["optional-dependencies"]
    asked = [*table["project"]["dependencies"], *table["dependency-groups"]["dev"]]
    asked += [one for extra in extras.values() for one in extra]
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    names = {re.split(r"[\[><=;~! ]", one)[0] for one in asked}
    assert names - set(locked) == {"agentainer-flow"}  # extras that take in others


def build(source: Path, kind: str, folder: Path) -> None:
    run([sys.executable, "-m", "build", "--no-isolation", kind, "-o", str(folder)], source)


def run(command: list[str], folder: Path) -> str:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files(folder: Path, name: str) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {f"{name}/{path}" for path in found if "__pycache__" not in path.parts}
