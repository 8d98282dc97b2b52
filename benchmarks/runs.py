"""Start workflows, wait until they have ended, and read from their logs how it went."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec

from agentainer_flow import Workflow
from agentainer_flow.core import events as e
from agentainer_flow.core.log import EventLog

from .errors import NotOnce, TookTooLong
from .processes import Process

#: Often enough for tests of little work, seldom enough to cost nothing.
POLL_S = 0.02
LONGEST_S = 900.0
#: Workflows that are being created at a time.
CREATING = 32


@dataclass(frozen=True)
class Run:
    """What the log of one workflow says. Times are ms of the clock of Redis."""

    workflow: str
    events: int
    created_ms: int
    ended_ms: int
    #: Of each task, in the order in which they ended.
    results: list[Any]

    @property
    def lasted_s(self) -> float:
        return (self.ended_ms - self.created_ms) / 1000


async def start_all(workflows: Iterable[Workflow], **inputs: Any) -> list[str]:
    """Start workflows through the SDK, some at a time; returns their ids."""
    ids: list[str] = []
    waiting = iter(workflows)

    async def start_some() -> None:
        for one in waiting:
            ids.append((await one.astart(**inputs)).id)

    async with anyio.create_task_group() as tasks:
        for _ in range(CREATING):
            tasks.start_soon(start_some)
    return ids


async def wait_until_ended(log: EventLog, processes: Sequence[Process]) -> None:
    """Wait until no workflow is active. Raises ProcessDied, TookTooLong."""

    async def ended() -> bool:
        for process in processes:
            process.check()
        return await count_in(log, log.redis.scard, "active") == 0

    await until(ended)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Raises TookTooLong."""
    deadline = anyio.current_time() + LONGEST_S
    while not await condition():
        if anyio.current_time() > deadline:
            raise TookTooLong(f"waited for {LONGEST_S:g} s")
        await anyio.sleep(POLL_S)


async def count_in(log: EventLog, size: Callable[[str], Awaitable[int]], *parts: str) -> int:
    """How many a key has in all partitions; `size` is what asks Redis about one."""
    keys = [log.keys.flow(partition, *parts) for partition in range(log.keys.partitions)]
    return sum([await size(key) for key in keys])


async def run_all(
    log: EventLog,
    workflows: Iterable[Workflow],
    processes: Sequence[Process],
    tasks: int,
    **inputs: Any,
) -> list[Run]:
    """Run workflows of `tasks` tasks each to their ends. Raises NotOnce."""
    ids = await start_all(workflows, **inputs)
    await wait_until_ended(log, processes)
    return [await read_run(log, workflow, tasks) for workflow in ids]


async def read_run(log: EventLog, workflow: str, tasks: int) -> Run:
    """Read a log and check it: each task started once and completed once, nothing after the end.

    Raises NotOnce.
    """
    recorded = await log.read(workflow)
    versions = [one.version for one in recorded]
    if versions != list(range(1, len(recorded) + 1)):
        raise NotOnce(f"{workflow}: its versions are not 1 to {len(recorded)}")
    begun = [one.event for one in recorded if isinstance(one.event, e.TaskStarted)]
    done = [one.event for one in recorded if isinstance(one.event, e.TaskCompleted)]
    for events in (begun, done):
        if not len(events) == len({(event.step, event.index) for event in events}) == tasks:
            kinds = dict(Counter(one.type for one in recorded))
            raise NotOnce(f"{workflow}: {tasks} tasks, each once, are not what is told: {kinds}")
    ends = [place for place, one in enumerate(recorded, 1) if one.type in e.TERMINAL]
    if ends != [len(recorded)] or recorded[-1].type != e.WorkflowCompleted.type:
        raise NotOnce(f"{workflow}: it ended with {recorded[-1].type}, terminal events at {ends}")
    results = [msgspec.json.decode(event.result) for event in done]
    return Run(workflow, len(recorded), recorded[0].ts, recorded[-1].ts, results)


def copies(cls: type[Workflow], count: int) -> Iterable[Workflow]:
    return (cls() for _ in itertools.repeat(None, count))
