"""The fixtures, and what pytest shows of a test that failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentainer_flow.core.settings import Settings

TESTS = """
import asyncio
from agentainer_flow import step, workflow
from agentainer_flow.testing import assert_that, run_local

@workflow(name="greeting")
class Greeting:
    @step()
    def greet(self, context, name):
        return f"Hello {name}"

def test_plain(flow):
    assert flow.run(Greeting, name="you").result == "Hello you"

def test_real(flow_redis):
    assert flow_redis.run(Greeting, name="you").result == "Hello you"

def test_async(flow):
    async def main():
        return flow.run(Greeting, name="you").result
    assert asyncio.run(main()) == "Hello you"

def test_wrong(flow):
    assert flow.run(Greeting, name="me").result == "Hello you"

def test_wrong_without_a_fixture():
    assert run_local(Greeting, name="her").result == "Hello you"

def test_wrong_in_words():
    assert_that(run_local(Greeting, name="him")).result("Hello you")
"""

TITLE = "story of <run of greeting: completed, 7 events>"


@pytest.fixture
def project(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
    (tmp_path / "test_greeting.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return tmp_path


def pytest_in(project: Path, *arguments: str) -> str:
    # No summary: it repeats whole messages where the environment says CI.
    options = ["-rN", "-p", "agentainer_flow.sdk.pytest_plugin", *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=project,
        env={**os.environ, "COLUMNS": "120", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_what_failed_tells_its_story_and_every_event(project: Path) -> None:
    said = pytest_in(project, "--agentainer-debug")
    assert "3 failed, 3 passed" in said
    assert said.count(f"- {TITLE} -") == 2
    assert said.count("got 'Hello him'") == 1
    assert "assertions.py" not in said  # the last frame is that of the test
    assert said.count("task.completed      greet[0]") == 3 + 3
    assert said.count("- Captured stderr call -") == 3


def test_the_plugin_imports_nothing_of_ours() -> None:
    code = (
        "import sys, agentainer_flow.sdk.pytest_plugin; "
        "print([name for name in sys.modules if name.startswith('agentainer_flow.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['agentainer_flow.sdk', 'agentainer_flow.sdk.pytest_plugin']\n"
