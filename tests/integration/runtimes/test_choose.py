"""Which runtime agents get when nobody says which."""

from __future__ import annotations

import pytest

from agentainer_flow.core.errors import RuntimeUnavailable
from agentainer_flow.core.settings import Settings, load_settings
from agentainer_flow.reactors.runtimes.choose import choose_runtime

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")


def automatic(settings: Settings, **more: object) -> Settings:
    return load_settings(environ={}, home=settings.home, runtime="auto", **more)


async def test_agents_are_not_run_without_isolation_unless_asked(settings: Settings) -> None:
    with pytest.raises(RuntimeUnavailable, match="AGENTAINER_RUNTIME=process"):
        await choose_runtime(automatic(settings), "installation")


async def test_folder_of_agents_says_that_processes_will_do(settings: Settings) -> None:
    chosen = automatic(settings, agents=settings.home / "agents")

    choice = await choose_runtime(chosen, "installation")

    assert choice.runtime.name == "process"
    assert "nonexistent.sock" in choice.why
