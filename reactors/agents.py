"""The agents that a launcher runs, each by one claim.

Per job, never in another order: start (or adopt) under the derived name, record `job.launched`,
follow, record how it ended, and only then remove what is left. Whoever claims the job after a
launcher that died anywhere in between finds the container by its name, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.abc
import msgspec

from ..core import clock
from ..core import events as e
from ..core import metrics as m
from ..core.answers import ClaimedJob
from ..core.errors import CannotLaunch, RuntimeUnavailable, WorkflowNotFound
from ..core.log import EventLog
from ..core.sizes import say_size
from ..core.tokens import make_job_token
from .job_records import JobRecords
from .launches import launch_of
from .leftovers import remove_ended
from .log_keeper import LogKeeper
from .runtimes.contract import Launch, Permit, Runtime, Started, always
from .runtimes.patience import patiently


class Claim(msgspec.Struct, frozen=True):
    """A claim of jobs; later ones have higher numbers."""

    number: int
    token: str


class Running:
    """A job in our hands, by one claim of it."""

    def __init__(self, launch: Launch, claim: Claim) -> None:
        self.launch = launch
        self.claim = claim
        self.scope = anyio.CancelScope()
        self.is_started = False
        self.is_stopping = False


class Agents:
    """Start, follow, freeze and stop agents; each is known by its workflow and job."""

    def __init__(
        self,
        event_log: EventLog,
        open_runtime: Callable[[], Awaitable[Runtime]],
        most_memory: int | None,
    ) -> None:
        """`most_memory`: an agent that needs more bytes is refused, for nobody else takes it."""
        self._log = event_log
        self._open_runtime = open_runtime
        self._runtime: Runtime | None = None
        self._opening = anyio.Lock()
        self._most_memory = most_memory
        self._records = JobRecords(event_log)
        self._running: dict[tuple[str, str], Running] = {}

    async def close(self) -> None:
        if self._runtime:
            with anyio.CancelScope(shield=True):
                await self._runtime.close()

    def find(self, workflow: str, job: str) -> Running | None:
        return self._running.get((workflow, job))

    def started_of(self, workflow: str) -> list[Launch]:
        return [
            running.launch
            for name, running in self._running.items()
            if name[0] == workflow and running.is_started
        ]

    async def run(self, job: ClaimedJob, claim: Claim, tasks: anyio.abc.TaskGroup) -> None:
        """Carry it out until it has ended, or until we claim it anew.

        A process that stood still loses its claims, and may be the first to claim them again.
        """
        name = (job.workflow, job.job)
        launch = await self._launch_of(job, claim.token)
        if launch is None:
            return
        if former := self._running.get(name):
            if former.claim.number > claim.number:  # it was claimed anew while we looked what it is
                return
            former.scope.cancel()
        running = self._running[name] = Running(launch, claim)
        try:
            with running.scope:
                await self._carry_out(running, tasks)
        finally:
            if self._running[name] is running:
                del self._running[name]

    async def _launch_of(self, job: ClaimedJob, token: str) -> Launch | None:
        """What is to be launched; None when it cannot be, which is recorded then."""
        if self._most_memory is not None and job.memory_bytes > self._most_memory:
            needs, has = say_size(job.memory_bytes), say_size(self._most_memory)
            problem = f"it needs {needs} of memory, all agents together may have {has}"
            await self._records.refuse(job, token, f"{problem} (AGENTAINER_AGENT_MEMORY)")
            return None
        try:
            recorded = await self._log.read_one(job.workflow, job.requested)
        except WorkflowNotFound:
            return None
        if isinstance(recorded.event, e.JobRequested):
            return await self._with_api(launch_of(job.workflow, recorded.event))
        # Written by another release, or damaged: nobody here can launch it.
        await self._records.refuse(
            job, token, f"its request at {job.requested} cannot be read here"
        )
        return None

    async def _with_api(self, launch: Launch) -> Launch:
        """Tell the agent where the API is, if it is served for agents."""
        url = self._log.settings.api_url
        if not url:
            return launch
        token = await make_job_token(self._log, launch.workflow, launch.job)
        return msgspec.structs.replace(launch, api_url=url, api_token=token)

    async def _carry_out(self, running: Running, tasks: anyio.abc.TaskGroup) -> None:
        launch, token = running.launch, running.claim.token

        async def may_begin() -> bool:
            return await self._log.may_begin(launch.workflow, launch.job, token)

        began = clock.monotonic()
        try:
            runtime = await self._get_runtime()
            # A daemon that is away for a moment fails no agent, and may have begun to start it.
            started = await patiently(lambda: runtime.start(launch, may_begin))
        except (CannotLaunch, RuntimeUnavailable, OSError, ValueError) as error:
            kind = error.kind if isinstance(error, CannotLaunch) else "cannot_start"
            facts: dict[str, object] = {"error": e.Failure(kind, str(error))}
            if await self._records.record(launch, token, e.JobFailed, facts) != "lost":
                self._records.count_end(kind)
            if self._runtime:
                self._records.observe(m.JOB_LAUNCH, began, self._runtime, "failed")
            return
        if started is None:  # stopped before it began, or another's by now
            if await self._records.record(launch, token, e.JobCancelled, {}) != "lost":
                self._records.count_end("cancelled")
            return
        if not await self._record_launch(running, runtime, started, tasks):
            await remove_ended(self._log, runtime, launch)
            return
        self._records.observe(
            m.JOB_LAUNCH, began, runtime, "adopted" if started.adopted else "launched"
        )
        if started.adopted:  # nobody may have been there when its workflow was resumed
            await self._thaw(launch)
        launched = clock.monotonic()
        outcome = await runtime.follow(launch, LogKeeper(self._log, launch).keep)
        if await self._records.record_outcome(launch, token, outcome):
            self._records.count_end(outcome.kind)
            self._records.observe(m.JOB_DURATION, launched, runtime, outcome.kind)
            await runtime.remove(launch)
        else:
            await remove_ended(self._log, runtime, launch)

    async def _get_runtime(self) -> Runtime:
        async with self._opening:
            if self._runtime is None:
                self._runtime = await self._open_runtime()
            return self._runtime

    async def _record_launch(
        self, running: Running, runtime: Runtime, started: Started, tasks: anyio.abc.TaskGroup
    ) -> bool:
        facts: dict[str, object] = {
            "container": started.container,
            "host": started.host,
            "runtime": runtime.name,
        }
        if started.adopted:
            facts["adopted"] = True
        # A stop that was asked for earlier comes as the answer, a later one rings the bell.
        running.is_started = True
        answer = await self._records.record(
            running.launch, running.claim.token, e.JobLaunched, facts
        )
        if answer == "stopping":
            tasks.start_soon(self.stop, running)
        return answer != "lost"

    async def switch(self, launch: Launch, freeze: bool) -> None:
        """Freeze or thaw an agent of a workflow that was paused or resumed."""
        if self._runtime:
            await (self._runtime.freeze(launch) if freeze else self._runtime.thaw(launch))

    async def look_again(self) -> None:
        """The bell may have been missed: stop and thaw the agents that are to be."""
        for name, running in list(self._running.items()):
            if not running.is_started:
                continue
            is_unwanted = partial(self._is_unwanted, *name)
            if await is_unwanted():
                await self.stop(running, is_unwanted)
            else:
                await self._thaw(running.launch)

    async def _is_unwanted(self, workflow: str, job: str) -> bool:
        """It is to be stopped, or nobody knows of it any more."""
        if await self._log.is_stopping(workflow, job):
            return True
        return not await self._log.is_unsettled(workflow, job)

    async def _thaw(self, launch: Launch) -> None:
        """Let an agent go on, unless its workflow is paused."""
        if await self._log.status(launch.workflow) != "paused":
            await self.switch(launch, freeze=False)

    async def stop(self, running: Running, may_stop: Permit = always) -> None:
        is_ours = False

        async def may_begin() -> bool:
            """Asked again where the runtime has to try again; another stop may have come first."""
            nonlocal is_ours
            if not running.is_stopping:
                is_ours = running.is_stopping = await may_stop()
            return is_ours

        if self._runtime and running.is_started and not running.is_stopping:
            await self._runtime.stop(running.launch, may_begin)
