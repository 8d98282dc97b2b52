"""A launcher that was suspended between its claim and the start of an agent comes too late."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from agentainer_flow.core.bell import Bell
from agentainer_flow.core.log import EventLog
from agentainer_flow.reactors.capacity import Capacity
from agentainer_flow.reactors.launcher import Launcher
from agentainer_flow.reactors.runtimes.contract import Launch, Permit, Started, always
from agentainer_flow.reactors.runtimes.process import ProcessRuntime

from .bench import Bench

pytestmark = pytest.mark.anyio


class Slow(ProcessRuntime):
    """Comes to its starts only when it is let."""

    def __init__(self, folder: Path) -> None:
        super().__init__("test", folder / "work", folder)
        self.reached, self.gate, self.left = anyio.Event(), anyio.Event(), anyio.Event()

    async def start(self, launch: Launch, may_begin: Permit = always) -> Started | None:
        self.reached.set()
        await self.gate.wait()
        try:
            return await super().start(launch, may_begin)
        finally:
            self.left.set()


async def ask_for_agent(log: EventLog, folder: Path, then: str = "") -> Bench:
    """A task asks for an agent that notes in a file that it ran."""
    bench = Bench(log)
    await bench.create()
    await bench.own()
    await bench.queue(0)
    await bench.claim(1)
    await bench.request("one", command=["/bin/sh", "-c", f"echo ran >> {folder}/ran{then}"])
    return bench


def make(log: EventLog, bell: Bell, runtime: ProcessRuntime) -> Launcher:
    async def opened() -> ProcessRuntime:
        await runtime.open()
        return runtime

    return Launcher(log, bell, opened, capacity=Capacity(4))


async def launched(bench: Bench, *, times: int) -> None:
    with anyio.fail_after(20):
        while (await bench.types()).count("job.launched") < times:  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def settled(log: EventLog) -> None:
    with anyio.fail_after(20):
        while await log.is_unsettled("w1", "one"):  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_it_runs_no_agent_that_another_has_ended(log: EventLog, tmp_path: Path) -> None:
    # It found nothing of that name any more, ran the agent again and left it.
    bench = await ask_for_agent(log, tmp_path)
    bell = Bell(log)
    await bell.open()
    slow, quick = Slow(tmp_path), ProcessRuntime("test", tmp_path / "work", tmp_path)
    late, other = make(log, bell, slow), make(log, bell, quick)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(late.run)
        await slow.reached.wait()
        await late.hand_back()  # as the janitor does to one that fell silent
        tasks.start_soon(other.run)
        await settled(log)
        while await quick.leftovers():  # noqa: ASYNC110
            await anyio.sleep(0.01)

        slow.gate.set()
        with anyio.fail_after(20):
            await slow.left.wait()
        tasks.cancel_scope.cancel()

    assert (tmp_path / "ran").read_text() == "ran\n"
    assert await quick.leftovers() == []
    assert (await bench.types())[-2:] == ["job.launched", "job.succeeded"]


async def test_it_begins_no_agent_that_is_to_stop(log: EventLog, tmp_path: Path) -> None:
    bench = await ask_for_agent(log, tmp_path)
    bell = Bell(log)
    await bell.open()
    slow = Slow(tmp_path)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make(log, bell, slow).run)
        await slow.reached.wait()
        await log.scripts.stop_job("w1", step="a", index=0, token="s/1", job="one")
        slow.gate.set()
        await settled(log)
        tasks.cancel_scope.cancel()

    assert not (tmp_path / "ran").exists()
    assert (await bench.types())[-2:] == ["job.stop_requested", "job.cancelled"]


async def test_it_follows_an_agent_once_that_it_claims_anew(log: EventLog, tmp_path: Path) -> None:
    # It followed it twice, and came down with the end of the second one.
    bench = await ask_for_agent(log, tmp_path, f"; until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    bell = Bell(log)
    await bell.open()
    launcher = make(log, bell, ProcessRuntime("test", tmp_path / "work", tmp_path))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bell.run)
        tasks.start_soon(launcher.run)
        await launched(bench, times=1)
        await launcher.hand_back()  # as the janitor does to one that fell silent
        await launched(bench, times=2)
        (tmp_path / "go").touch()
        await settled(log)
        with anyio.fail_after(20):
            await launcher.drain()
        tasks.cancel_scope.cancel()

    assert (tmp_path / "ran").read_text() == "ran\n"
    assert (await bench.types())[-3:] == ["job.launched", "job.launched", "job.succeeded"]


async def test_it_stops_an_agent_that_it_claims_anew(log: EventLog, tmp_path: Path) -> None:
    bench = await ask_for_agent(log, tmp_path, "; exec sleep 60")
    bell = Bell(log)
    await bell.open()
    launcher = make(log, bell, ProcessRuntime("test", tmp_path / "work", tmp_path))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bell.run)
        tasks.start_soon(launcher.run)
        await launched(bench, times=1)
        await launcher.hand_back()
        await launched(bench, times=2)
        await log.scripts.stop_job("w1", step="a", index=0, token="s/1", job="one")
        await settled(log)
        tasks.cancel_scope.cancel()

    assert (await bench.types())[-2:] == ["job.stop_requested", "job.cancelled"]
