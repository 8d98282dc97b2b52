"""Two releases of a workflow are served side by side while the second one is rolled out."""

from __future__ import annotations

from pathlib import Path

import pytest

from .command import Command, eventually

RELEASE = """
from agentainer_flow import Context, Workflow, step, workflow

@workflow(name="deployed")
class Deployed(Workflow):
    @step()
    def common(self, context: Context) -> str:
        return "{name}"

    @step(depends_on=["common"])
    def {own}(self, context: Context, common_result: str) -> str:
        return "{own} of {name} after common of " + common_result
"""


@pytest.fixture
def releases(tmp_path: Path) -> tuple[str, str]:
    """Files of the old release and the new one, in which another step follows on the first."""
    found: list[str] = []
    for name, own in (("old", "former"), ("new", "later")):
        file = tmp_path / f"{name}.py"
        file.write_text(RELEASE.format(name=name, own=own))
        found.append(f"{file}:Deployed")
    return found[0], found[1]


def test_a_run_goes_on_where_its_steps_are_served(cli: Command, releases: tuple[str, str]) -> None:
    old, new = releases

    def started(release: str) -> str:
        found: dict[str, str] = cli.ask("workflow", "start", release)
        return found["id"]

    of_old = started(old)
    cli.begin("reactors").wait_for("ready", "err")
    cli.begin("worker", new).wait_for("ready", "err")
    of_new = started(new)
    assert cli.ask("workflow", "result", of_new) == "later of new after common of new"

    # A step that both have runs with the new one; the other waits, and says for what.
    waits = "former: 1 task ready, but no worker that serves 'deployed' has the code of this step"
    eventually(lambda: waits in cli("workflow", "why", of_old).stdout)
    assert cli.status(of_old) == "running"

    cli.begin("worker", old).wait_for("ready", "err")
    assert cli.ask("workflow", "result", of_old) == "former of old after common of new"
