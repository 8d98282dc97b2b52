"""A launcher with real agents: local processes that run until their gate opens.

Nothing enforces the memory of such a process, so sizes can be large.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path

import anyio
import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.bell import Bell
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.capacity import Capacity
from agentainer_flow.reactors.launcher import Launcher
from agentainer_flow.reactors.runtimes.process import ProcessRuntime

from .bench import Bench

pytestmark = pytest.mark.anyio

GIB = 1 << 30


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    log = EventLog(settings, settings.redis_url or "")
    await log.open()
    yield log
    await log.close()


class Scene:
    """A task that asks for agents, and the gates that let them end."""

    def __init__(self, log: EventLog, folder: Path) -> None:
        self.bench = Bench(log)
        self._log = log
        self._folder = folder

    async def begin(self) -> None:
        await self.bench.create()
        await self.bench.own()
        await self.bench.queue(0)
        await self.bench.claim(1)

    async def ask(self, *agents: str, gib: int = 1) -> None:
        wait = "while [ ! -e $AGENTAINER_JOB_ID ]; do sleep 0.01; done"
        command = ["/bin/sh", "-c", f"cd {self._folder}; {wait}"]
        await self.bench.request(*agents, memory_bytes=gib * GIB, command=command)

    def let_end(self, *agents: str) -> None:
        for name in agents:
            (self._folder / name).touch()

    async def launched(self, *agents: str) -> None:
        """Wait until these have been launched, and see that no others have."""
        with anyio.fail_after(10):
            while len(found := await self._launches()) < len(agents):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert sorted(event.job for event in found) == sorted(agents)

    async def _launches(self) -> list[e.JobLaunched]:
        events = [recorded.event for recorded in await self._log.read("w1")]
        return [event for event in events if isinstance(event, e.JobLaunched)]

    async def adopted(self) -> list[str]:
        return sorted(event.job for event in await self._launches() if event.adopted)

    async def most_running(self) -> int:
        change = {"job.launched": 1, "job.succeeded": -1}
        return max(accumulate(change.get(kind, 0) for kind in await self.bench.types()))

    async def settled(self, *agents: str) -> None:
        with anyio.fail_after(10):
            for name in agents:
                while await self._log.is_unsettled("w1", name):  # noqa: ASYNC110
                    await anyio.sleep(0.01)

    @asynccontextmanager
    async def launching(self, *capacities: Capacity) -> AsyncGenerator[None, None]:
        """Have a launcher for each capacity; at the end they leave their agents to others."""
        bell = Bell(self._log)
        await bell.open()
        launchers = [Launcher(self._log, bell, self._runtime, capacity=one) for one in capacities]
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bell.run)
                for launcher in launchers:
                    tasks.start_soon(launcher.run)
                yield
                tasks.cancel_scope.cancel()
        finally:
            for launcher in launchers:
                await launcher.hand_back()

    async def _runtime(self) -> ProcessRuntime:
        runtime = ProcessRuntime("test", self._folder / "work", self._folder)
        await runtime.open()
        return runtime


@pytest.fixture
async def scene(log: EventLog, tmp_path: Path) -> AsyncGenerator[Scene, None]:
    scene = Scene(log, tmp_path)
    await scene.begin()
    yield scene
    for agent in ("one", "two", "three", "four", "large"):
        scene.let_end(agent)
    async with scene.launching(Capacity(9)):
        await scene.settled("one", "two", "three", "four", "large")


async def test_agents_run_while_there_is_memory_for_them(scene: Scene) -> None:
    await scene.ask("one", "two", "three", "four")
    async with scene.launching(Capacity(9, 2 * GIB)):
        await scene.launched("one", "two")
        scene.let_end("two")
        await scene.launched("one", "two", "three")
        scene.let_end("one", "three", "four")
        await scene.settled("one", "two", "three", "four")
    assert await scene.most_running() == 2


async def test_a_large_agent_is_not_overtaken_by_small_ones(scene: Scene) -> None:
    await scene.ask("one", "two")
    async with scene.launching(Capacity(9, 3 * GIB)):
        await scene.launched("one", "two")
        await scene.ask("large", gib=3)
        await scene.ask("three")
        scene.let_end("one")
        await scene.settled("one")
        scene.let_end("two")
        await scene.launched("one", "two", "large")
        scene.let_end("large")
        await scene.launched("one", "two", "large", "three")


async def test_an_agent_larger_than_the_launcher_is_left_to_a_larger_one(scene: Scene) -> None:
    await scene.ask("large", gib=3)
    await scene.ask("one")
    async with scene.launching(Capacity(9, 2 * GIB)):
        await scene.launched("one")
        async with scene.launching(Capacity(9, 3 * GIB)):
            await scene.launched("one", "large")


async def test_launchers_of_a_process_share_its_memory(scene: Scene) -> None:
    capacity = Capacity(9, 3 * GIB)
    async with scene.launching(capacity, capacity, capacity):
        await scene.ask("one", "two")
        await scene.launched("one", "two")
        await scene.ask("large", gib=3)
        await scene.ask("three")
        scene.let_end("one")
        await scene.settled("one")
        scene.let_end("two")
        await scene.launched("one", "two", "large")
        scene.let_end("large")
        await scene.launched("one", "two", "large", "three")


async def test_launchers_of_a_process_share_its_slots(scene: Scene) -> None:
    capacity = Capacity(2)
    await scene.ask("one", "two", "three", "four")
    async with scene.launching(capacity, capacity):
        await scene.launched("one", "two")
        scene.let_end("one", "two", "three", "four")
        await scene.settled("one", "two", "three", "four")
    assert await scene.most_running() == 2


async def test_agents_that_run_are_adopted_without_room_for_them(scene: Scene) -> None:
    await scene.ask("one", "two")
    async with scene.launching(Capacity(9, 2 * GIB)):
        await scene.launched("one", "two")
    await scene.ask("three")

    async with scene.launching(Capacity(1, GIB)):
        await scene.launched("one", "two", "one", "two")
        scene.let_end("one")
        await scene.settled("one")
        scene.let_end("two")
        await scene.launched("one", "two", "one", "two", "three")
    assert await scene.adopted() == ["one", "two"]


async def test_who_waits_goes_on_when_another_launcher_takes_the_agent(scene: Scene) -> None:
    await scene.ask("one")
    async with scene.launching(Capacity(9, 2 * GIB)):
        await scene.launched("one")
        await scene.ask("large", gib=2)
        await scene.ask("two")
        await scene.bench.claim_jobs("other/1", want=1, host="elsewhere")
        await scene.launched("one", "two")
    await scene.bench.scripts.settle_job(
        "w1", job="large", token="other/1", type="job.cancelled", rest="{}", final=True
    )


async def test_who_waits_goes_on_when_the_agent_is_cancelled(scene: Scene) -> None:
    await scene.ask("one")
    async with scene.launching(Capacity(9, 2 * GIB)):
        await scene.launched("one")
        await scene.ask("large", gib=2)
        await scene.ask("two")
        await scene.bench.scripts.stop_job("w1", step="a", index=0, token="s/1", job="large")
        await scene.launched("one", "two")
