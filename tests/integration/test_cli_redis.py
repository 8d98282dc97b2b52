"""`agentainer redis start | status | stop`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from agentainer_flow.cli.redis import app
from agentainer_flow.core import embedded
from agentainer_flow.core.settings import load_settings


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="agentainer-test-") as folder:
        monkeypatch.setenv("AGENTAINER_HOME", folder)
        yield folder
        embedded.stop(load_settings())


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_status_of_a_stopped_one_exits_with_1(home: str) -> None:
    result = call("status")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "status     not running")
    assert home in result.stdout


def test_start_says_what_runs() -> None:
    started, found = call("start"), call("status")
    assert (started.exit_code, found.exit_code) == (0, 0)
    assert started.stdout.startswith("status     running\n")
    assert found.stdout.splitlines()[:4] == started.stdout.splitlines()[:4]


def test_json_is_one_document_with_the_url(home: str) -> None:
    found = json.loads(call("start", "--json").stdout)
    assert found["url"] == f"unix://{home}/redis/redis.sock"
    assert json.loads(call("status", "--json").stdout)["pid"] == found["pid"]
    assert json.loads(call("stop", "--json").stdout) == {"stopped": True}
    assert json.loads(call("status", "--json").stdout)["running"] is False


def test_stop_says_whether_one_ran() -> None:
    call("start")
    assert call("stop").stdout == "stopped\n"
    assert call("stop").stdout == "was not running\n"
