"""docs/guides/testing.md, and the test of the README: each of their blocks is run."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from agentainer_flow.core.settings import Settings
from tests.kit.test_plugin import pytest_in

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```$",
    (ROOT / "docs/guides/testing.md").read_text(),
    re.DOTALL | re.MULTILINE,
)


#: What a claim is said to say has to be what it says.
SAID = """
from agentainer_flow.testing import assert_that, run_local
from orders import Orders

def test_what_a_claim_says():
    try:
        assert_that(run_local(Orders, count=1)).failed()
    except AssertionError as error:
        assert str(error).startswith({shown!r})
"""


@pytest.fixture
def project(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the blocks name."""
    monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
    shutil.copy(ROOT / "examples/data_processing.py", tmp_path)
    (shown,) = [text for language, text in BLOCKS if language == "text"]
    (tmp_path / "test_said.py").write_text(SAID.format(shown=shown.rstrip()))
    for language, text in BLOCKS:
        if language == "python":
            name = text.partition("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(text)
    workflow, test = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "summaries.py").write_text(workflow)
    (tmp_path / "test_readme.py").write_text(f"from summaries import Summaries\n{test}")
    return tmp_path


def test_every_block_runs(project: Path) -> None:
    tests = sum(text.count("\ndef test_") + text.count("\nasync def test_") for _, text in BLOCKS)
    said = pytest_in(project, "-p", "anyio.pytest_plugin")
    assert f"{tests + 2} passed" in said, said  # one of the README, one of what is said


def test_every_command_runs(project: Path) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for command in "".join(text for language, text in BLOCKS if language == "sh").splitlines():
        match shlex.split(command):
            case ["pip", "install", what]:
                extra = what.removeprefix("agentainer-flow[").removesuffix("]")
                assert extra in settings["project"]["optional-dependencies"]
            case ["pytest", *arguments]:
                assert " passed" in pytest_in(project, *arguments)
            case _:
                pytest.fail(f"nobody runs {command!r}")
