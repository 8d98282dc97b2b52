"""`agentainer test-history` and the plugin of pytest: histories against the code of today."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agentainer_flow.cli.main import app
from agentainer_flow.core.definition import Definition, StepSpec
from agentainer_flow.projections.bundle import encode_history
from agentainer_flow.sdk.corpus import compare_with
from tests.unit.histories import DEFINITION, completed

from .command import PROGRAM

CORPUS = Path(__file__).parents[1] / "histories"

#: The workflow of the histories made here: without its last step, or with it.
LESS = """
from agentainer_flow import Workflow, parallel, step, workflow

@workflow(name="made")
class Made(Workflow):
    @step(retries=1)
    @parallel()
    def each(self, context, item):
        return item
"""
WHOLE = (
    LESS
    + """
    @step()
    def last(self, context, each_results):
        return 0
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good history and one that was damaged."""
    folder = tmp_path / "histories"
    folder.mkdir()
    data = encode_history(completed().history())
    (folder / "good.agflow").write_bytes(data)
    (folder / "bad.agflow").write_bytes(data.replace(b'"tasks":3', b'"tasks":4', 1))
    return folder


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["test-history", *arguments])


def test_our_own_histories_are_well() -> None:
    done = ask(str(CORPUS))
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == len(list(CORPUS.glob("*.agflow")))


def test_each_file_is_told_of(folder: Path) -> None:
    done = ask(str(folder), "--json")
    assert done.exit_code == 1
    bad, good = map(json.loads, done.stdout.splitlines())
    assert (good["clean"], good["events"]) == (True, 18)
    assert bad["findings"] == ["line 5 (event 3): the line was changed"]


def test_folder_without_histories(tmp_path: Path) -> None:
    done = ask(str(tmp_path))
    assert "there is no history (*.agflow) in" in str(done.exception)
    assert ask(str(tmp_path / "nowhere")).exit_code == 2


@pytest.mark.parametrize(("source", "code"), [(WHOLE, 0), (LESS, 1)])
def test_class_that_lost_a_step_is_found(folder: Path, source: str, code: int) -> None:
    (folder / "bad.agflow").unlink()
    (folder.parent / "made.py").write_text(source)
    command = [str(PROGRAM), "test-history", "histories", "--definition", "made.py:Made"]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    lost = "definition made: step last was run, and is there no more" in done.stdout
    assert lost == bool(code)


def test_changed_step_is_found() -> None:
    changed = Definition("made", (DEFINITION.steps[0], StepSpec("last")))
    found = list(compare_with(completed().history(), {"made": changed}))
    assert found[0].startswith('definition made: step last was run with depends_on ["each"]')
    assert list(compare_with(completed().history(), {"other": changed})) == []


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_pytest_takes_each_history_as_a_test(folder: Path) -> None:
    done = run_pytest(folder.parent, "--agentainer-histories", "histories")
    assert "good.agflow::history PASSED" in done.stdout
    assert "bad.agflow::history FAILED" in done.stdout
    assert "line 5 (event 3): the line was changed" in done.stdout
    assert done.returncode == 1


def test_pytest_reads_folders_and_definitions_of_its_settings(folder: Path) -> None:
    (folder / "bad.agflow").unlink()
    (folder.parent / "less.py").write_text(LESS)
    shutil.copy(CORPUS / "retried.agflow", folder)
    settings = "[pytest]\nagentainer_histories = histories\nagentainer_definitions = less.py:Made\n"
    (folder.parent / "pytest.ini").write_text(settings)
    done = run_pytest(folder.parent)
    assert "retried.agflow::history PASSED" in done.stdout
    assert "step last was run, and is there no more" in done.stdout


def test_pytest_without_settings_leaves_histories_alone(folder: Path) -> None:
    assert run_pytest(folder.parent).returncode == 5  # nothing was collected
