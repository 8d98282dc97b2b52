"""Redis comes back without its last writes, and runs end all the same.

Engine and worker remember what Redis has forgotten: that the run ended, that its task was settled.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import anyio
import pytest

from agentainer_flow import AsyncContext, parallel, step, workflow
from agentainer_flow.core.errors import WorkflowNotFound
from agentainer_flow.core.events import TERMINAL
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.memory import Server, serve
from agentainer_flow.core.settings import load_settings
from agentainer_flow.sdk import client
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.runner import arun
from agentainer_flow.sdk.service import Service

pytestmark = pytest.mark.anyio


@workflow(name="forgotten")
class Forgotten:
    @step()
    @parallel(over=lambda inputs: 2)
    async def one(self, context: AsyncContext, item: int) -> int:
        return item


@pytest.fixture
def server() -> Iterator[Server]:
    with serve("forgetful", keeps_journal=True) as server:
        yield server


@pytest.fixture
async def log(server: Server, tmp_path: Path) -> AsyncGenerator[EventLog, None]:
    settings = load_settings(environ={}, redis_url="memory://forgetful", home=tmp_path, lease=1)
    log = EventLog(settings, settings.redis_url or "")
    await log.open()
    async with anyio.create_task_group() as tasks:
        await tasks.start(Service(log, [code_of(Forgotten)], roles=["scheduler", "worker"]).run)
        yield log
        tasks.cancel_scope.cancel()
    await log.close()


async def start(log: EventLog) -> str:
    run = client.prepare(code_of(Forgotten), {"args": [], "kwargs": {}}, {}, log.settings)
    return await client.create(log, run)


async def until_ended(log: EventLog, workflow: str) -> list[str]:
    """Types of its events, once it has ended and its document says so."""
    with anyio.fail_after(20):
        while True:  # polled: what wakes others may be lost, too
            types = [event.type for event in await log.read(workflow)]
            if types[-1] in TERMINAL:
                return types
            await anyio.sleep(0.02)


def forget(server: Server, log: EventLog, workflow: str, last: str) -> None:
    """Lose writes until the log ends with this type."""
    key = log.keys.events(workflow).encode()
    while True:
        reply = server.run([b"XREVRANGE", key, b"+", b"-", b"COUNT", b"1"])
        assert reply, "its log never ended so"
        if last in str(reply):
            return
        server.lose(1)


async def test_a_run_whose_end_was_lost_ends_again(log: EventLog, server: Server) -> None:
    # The engine took it for ended, and the feed told nothing of it any more.
    workflow = await start(log)
    whole = await until_ended(log, workflow)
    forget(server, log, workflow, "task.completed")
    assert await until_ended(log, workflow) == whole


async def test_a_task_whose_result_was_lost_runs_again(log: EventLog, server: Server) -> None:
    # Its lease was renewed for ever by a worker that had long forgotten it.
    workflow = await start(log)
    await until_ended(log, workflow)
    forget(server, log, workflow, "task.started")
    types = await until_ended(log, workflow)
    assert types.count("task.lost") > 0
    assert types.count("task.completed") == 2


async def test_a_run_that_was_lost_whole_stops_nobody(log: EventLog, server: Server) -> None:
    lost = await start(log)
    while await log.exists(lost):
        server.lose(1)
    assert await until_ended(log, await start(log))


async def test_a_run_in_process_whose_log_was_lost_says_so(server: Server, tmp_path: Path) -> None:
    @workflow(name="unmade")
    class Unmade:
        @step()
        async def one(self, context: AsyncContext) -> None:
            while server.run([b"EXISTS", f"workflow:{context.workflow_id}:events".encode()]):
                server.lose(1)

    settings = load_settings(environ={}, redis_url="memory://forgetful", home=tmp_path, lease=1)
    with anyio.fail_after(20), pytest.raises(WorkflowNotFound):
        await arun(Unmade(), {}, settings)
