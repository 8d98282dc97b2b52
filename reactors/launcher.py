"""Claim the agents that steps ask for, as far as there is room, and have them run.

A claim takes slots and memory from the launcher's capacity until nothing is left of the agent. The
job that is next and does not fit is waited for: what becomes free is kept for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from ..core.answers import AwaitedJob, ClaimedJob, ClaimedJobs
from ..core.bell import Bell
from ..core.ids import origin
from ..core.keys import SHARED
from ..core.log import EventLog
from .agents import Agents, Claim
from .capacity import Capacity
from .runtimes.contract import DEFAULT_MEMORY_BYTES, Runtime
from .session import Heartbeat, Session


class Launcher:
    """Claim jobs of one lane within a capacity, which launchers of one process share.

    The runtime that `open_runtime` gives is closed at the end.
    """

    def __init__(
        self,
        event_log: EventLog,
        bell: Bell,
        open_runtime: Callable[[], Awaitable[Runtime]],
        *,
        partition: int = 0,
        lane: str = SHARED,
        capacity: Capacity,
        name: str = "",
        heart: Heartbeat | None = None,
    ) -> None:
        self._log = event_log
        self.partition = partition
        self.lane = lane
        self._capacity = capacity
        # In a private lane there is nobody to leave it to.
        most_memory = None if lane == SHARED else capacity.memory_bytes
        self._agents = Agents(event_log, open_runtime, most_memory)
        self._session = Session(
            event_log,
            "launcher",
            partition=partition,
            lane=lane,
            slots=self._capacity.slots,
            memory_bytes=self._capacity.memory_bytes,
            name=name,
            heart=heart,
        )
        #: Workflow and job of each claim that is not done with; capacity is taken from it on.
        self._taken: list[tuple[str, str]] = []
        #: There may be jobs that the last claim had no room for, and the one that is next then.
        self._is_short = False
        self._awaited: AwaitedJob | None = None
        self._emptied = anyio.Event()
        #: Redis was away, and may have lost the ends of jobs.
        self._was_away = False
        self._claims = 0
        self._host = origin().host
        self._wake = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        bell.listen(self._hear, "job")
        self._capacity.listen(self._hear_of_room)

    @property
    def session(self) -> str:
        return self._session.name

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._session.keep)
                await self._claim_forever(tasks)
        finally:
            await self._agents.close()

    async def drain(self) -> None:
        """Wait until nothing is left of the jobs taken, their containers included."""
        while self._taken:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    async def hand_back(self) -> None:
        """After `run`: the next launcher may take over at once the agents that run."""
        await self._session.hand_back()

    def _hear(self, kind: str, workflow: str, subject: str) -> None:
        match kind:
            case "job":
                self._wake.set()
            case "settled" if self._awaits(workflow, subject):
                self._wake.set()
            case "away":
                self._was_away = True
            case "recheck" if self._tasks:
                self._wake.set()
                self._tasks.start_soon(self._agents.look_again)
            case "freeze" | "thaw" if self._tasks:
                for launch in self._agents.started_of(workflow):
                    self._tasks.start_soon(self._agents.switch, launch, kind == "freeze")
            case "stop" if self._tasks and (stopped := self._agents.find(workflow, subject)):
                self._tasks.start_soon(self._agents.stop, stopped)
            case _:
                pass

    def _hear_of_room(self) -> None:
        if self._is_short:
            self._wake.set()

    def _awaits(self, workflow: str, job: str) -> bool:
        awaited = self._awaited
        return awaited is not None and (awaited.workflow, awaited.job) == (workflow, job)

    async def _claim_forever(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            self._wake = anyio.Event()
            if self._was_away:
                await self._compare()
            claimed, claim = await self._claim()
            for job in claimed:
                tasks.start_soon(self._take, job, claim, tasks)
            if not claimed:
                await self._wake.wait()

    async def _compare(self) -> None:
        """Hand back jobs that are ours again, as Redis lost how they had ended."""
        self._was_away = False
        await self._session.hand_back_others([f"{one}|{job}" for one, job in self._taken])

    async def _claim(self) -> tuple[list[ClaimedJob], Claim]:
        """Claim what there is room for, and jobs of this host also without."""
        self._claims += 1
        claim = Claim(self._claims, f"{self.session}/{self._claims}")
        self._is_short = True  # what becomes free meanwhile counts
        async with self._capacity.claiming:
            want = self._capacity.free_slots(self)
            answer = await self._ask(claim.token, want)
            for job in answer.jobs:
                self._taken.append((job.workflow, job.job))
                self._capacity.take(memory_bytes=job.memory_bytes)
            if want:  # without a slot nobody looked at the line
                self._stand_in_line(answer.awaited)
        self._is_short = not want or answer.awaited is not None
        return answer.jobs, claim

    async def _ask(self, token: str, want: int) -> ClaimedJobs:
        return await self._log.scripts.claim_jobs(
            self.partition,
            lane=self.lane,
            host=self._host,
            session=self.session,
            token=token,
            want=want,
            lease_ms=int(self._log.settings.lease * 1000),
            default_memory=DEFAULT_MEMORY_BYTES,
            memory=self._capacity.free_memory(self),
            all_memory=self._capacity.memory_bytes,
        )

    def _stand_in_line(self, awaited: AwaitedJob | None) -> None:
        self._awaited = awaited
        if awaited:
            self._capacity.wait(self, awaited.memory_bytes)
        else:
            self._capacity.leave(self)

    async def _take(self, job: ClaimedJob, claim: Claim, tasks: anyio.abc.TaskGroup) -> None:
        try:
            await self._agents.run(job, claim, tasks)
        finally:
            self._taken.remove((job.workflow, job.job))
            self._capacity.give(memory_bytes=job.memory_bytes)
            if not self._taken:
                self._emptied.set()
