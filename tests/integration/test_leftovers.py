"""What a launcher leaves that dies before it removes an ended agent is removed by the others."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgspec
import pytest

from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.runtimes.contract import Launch
from agentainer_flow.reactors.runtimes.process import ProcessRuntime
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.service import Service

pytestmark = pytest.mark.anyio


async def leave(runtime: ProcessRuntime, workflow: str) -> None:
    """An agent of a workflow that nobody knows."""
    assert await runtime.start(
        Launch(
            workflow=workflow,
            step="a",
            index=0,
            attempt=1,
            job="a-0-x",
            image="agent",
            command=("sleep", "600"),
        )
    )


async def gone(runtime: ProcessRuntime) -> None:
    with anyio.fail_after(20):
        while await runtime.leftovers():  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_leftovers_go_at_the_start_and_whenever_there_are_some(
    settings: Settings, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(
        settings, runtime="process", agents=tmp_path, home=tmp_path / "home", lease=0.5
    )
    async with connect(settings) as log, anyio.create_task_group() as tasks:
        runtime = ProcessRuntime(
            await log.installation(), settings.home_path / "processes", tmp_path
        )
        await runtime.open()
        await leave(runtime, "w1")
        tasks.start_soon(Service(log, roles=["launcher"]).run)
        await gone(runtime)
        await leave(runtime, "w2")
        await gone(runtime)
        tasks.cancel_scope.cancel()
