"""Run the agents that steps ask for, each one once.

Per job, never in another order: claim, start (or adopt) under the derived name, record
`job.launched`, follow, record how it ended, and only then remove what is left. A launcher that dies
anywhere in between is followed by one that claims the job again, finds the container by its name,
and goes on from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import msgspec
import structlog
from msgspec.structs import replace

from ..core import clock
from ..core import events as e
from ..core import metrics as m
from ..core.answers import AwaitedJob, ClaimedJob, ClaimedJobs
from ..core.bell import Bell
from ..core.errors import CannotLaunch, RuntimeUnavailable, WorkflowNotFound
from ..core.ids import origin
from ..core.keys import SHARED
from ..core.log import EventLog
from ..core.sizes import say_size
from ..core.tokens import make_job_token
from ..core.tracing import parse_traceparent, span_id_of
from .capacity import Capacity
from .leftovers import remove_ended
from .log_keeper import LogKeeper
from .runtimes.contract import (
    DEFAULT_MEMORY_BYTES,
    Launch,
    Limits,
    Outcome,
    Runtime,
    Started,
)
from .runtimes.patience import patiently
from .session import Heartbeat, Session

log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode


class _Running:
    """A job in our hands, by one claim of it."""

    def __init__(self, launch: Launch, claim: int) -> None:
        self.launch = launch
        self.claim = claim
        self.scope = anyio.CancelScope()
        self.is_started = False
        self.is_stopping = False


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
        self._open_runtime = open_runtime
        self._runtime: Runtime | None = None
        self._opening = anyio.Lock()
        self.partition = partition
        self.lane = lane
        self._capacity = capacity
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
        #: By workflow and job.
        self._running: dict[tuple[str, str], _Running] = {}
        self._claims = 0
        self._host = origin().host
        self._wake = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        bell.listen(self._hear)
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
            if self._runtime:
                with anyio.CancelScope(shield=True):
                    await self._runtime.close()

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
                self._tasks.start_soon(self._look_again)
            case "freeze" | "thaw" if self._tasks:
                for name, running in self._running.items():
                    if name[0] == workflow and running.is_started:
                        self._tasks.start_soon(self._switch, running.launch, kind == "freeze")
            case "stop" if self._tasks and (stopped := self._running.get((workflow, subject))):
                self._tasks.start_soon(self._stop, stopped)
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
            claimed, token = await self._claim()
            for job in claimed:
                tasks.start_soon(self._take, job, token)
            if not claimed:
                await self._wake.wait()

    async def _compare(self) -> None:
        """Hand back jobs that are ours again, as Redis lost how they had ended."""
        self._was_away = False
        await self._session.hand_back_others([f"{one}|{job}" for one, job in self._taken])

    async def _claim(self) -> tuple[list[ClaimedJob], str]:
        """Claim what there is room for, and jobs of this host also without; (jobs, token)."""
        self._claims += 1
        token = f"{self.session}/{self._claims}"
        self._is_short = True  # what becomes free meanwhile counts
        async with self._capacity.claiming:
            want = self._capacity.free_slots(self)
            answer = await self._ask(token, want)
            for job in answer.jobs:
                self._taken.append((job.workflow, job.job))
                self._capacity.take(memory_bytes=job.memory_bytes)
            if want:  # without a slot nobody looked at the line
                self._stand_in_line(answer.awaited)
        self._is_short = not want or answer.awaited is not None
        return answer.jobs, token

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

    async def _take(self, job: ClaimedJob, token: str) -> None:
        try:
            await self._run_job(job, token)
        finally:
            self._taken.remove((job.workflow, job.job))
            self._capacity.give(memory_bytes=job.memory_bytes)
            if not self._taken:
                self._emptied.set()

    async def _run_job(self, job: ClaimedJob, token: str) -> None:
        """Carry it out until it has ended, or until we claim it anew.

        A process that stood still loses its claims, and may be the first to claim them again.
        """
        name = (job.workflow, job.job)
        launch = await self._launch_of(job, token)
        if launch is None:
            return
        claim = _number_of(token)
        if former := self._running.get(name):
            if former.claim > claim:  # it was claimed anew while we looked what it is
                return
            former.scope.cancel()
        running = self._running[name] = _Running(launch, claim)
        try:
            with running.scope:
                await self._carry_out(running, token)
        finally:
            if self._running[name] is running:
                del self._running[name]

    async def _launch_of(self, job: ClaimedJob, token: str) -> Launch | None:
        """What is to be launched; None when it cannot be, which is recorded then."""
        if self._is_too_large(job):
            needs, has = say_size(job.memory_bytes), say_size(self._capacity.memory_bytes or 0)
            problem = f"it needs {needs} of memory, all agents together may have {has}"
            await self._refuse(job, token, f"{problem} (AGENTAINER_AGENT_MEMORY)")
            return None
        try:
            recorded = await self._log.read_one(job.workflow, job.requested)
        except WorkflowNotFound:
            return None
        if isinstance(recorded.event, e.JobRequested):
            return await self._with_api(launch_of(job.workflow, recorded.event))
        # Written by another release, or damaged: nobody here can launch it.
        await self._refuse(job, token, f"its request at {job.requested} cannot be read here")
        return None

    def _is_too_large(self, job: ClaimedJob) -> bool:
        """In a private lane there is nobody to leave it to."""
        most = self._capacity.memory_bytes
        return self.lane != SHARED and most is not None and job.memory_bytes > most

    async def _refuse(self, job: ClaimedJob, token: str, problem: str) -> None:
        failure = e.Failure("cannot_start", problem)
        answer = await self._log.scripts.settle_job(
            job.workflow,
            job=job.job,
            token=token,
            type=e.JobFailed.type,
            rest=_encode({"error": failure}).decode(),
            final=True,
        )
        self._count_end("cannot_start" if answer != "lost" else "")

    def _count_end(self, result: str) -> None:
        """Count an agent that ended; empty: somebody else has recorded how."""
        if self._log.instruments and result:
            self._log.instruments.count(m.JOBS_FINISHED, result)

    def _observe(self, metric: m.Metric, since: float, runtime: Runtime, result: str) -> None:
        """`since` is a moment of the monotonic clock."""
        if self._log.instruments:
            seconds = clock.monotonic() - since
            self._log.instruments.observe(metric, seconds, runtime.name, result)

    async def _with_api(self, launch: Launch) -> Launch:
        """Tell the agent where the API is, if it is served for agents."""
        url = self._log.settings.api_url
        if not url:
            return launch
        token = await make_job_token(self._log, launch.workflow, launch.job)
        return msgspec.structs.replace(launch, api_url=url, api_token=token)

    async def _carry_out(self, running: _Running, token: str) -> None:
        launch = running.launch

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
            if await self._record(launch, token, e.JobFailed, facts) != "lost":
                self._count_end(kind)
            if self._runtime:
                self._observe(m.JOB_LAUNCH, began, self._runtime, "failed")
            return
        if started is None:  # stopped before it began, or another's by now
            if await self._record(launch, token, e.JobCancelled, {}) != "lost":
                self._count_end("cancelled")
            return
        if not await self._record_launch(running, token, runtime, started):
            await remove_ended(self._log, runtime, launch)
            return
        self._observe(m.JOB_LAUNCH, began, runtime, "adopted" if started.adopted else "launched")
        if started.adopted:  # nobody may have been there when its workflow was resumed
            await self._thaw(launch)
        launched = clock.monotonic()
        outcome = await runtime.follow(launch, LogKeeper(self._log, launch).keep)
        if await self._record_outcome(launch, token, outcome):
            self._count_end(outcome.kind)
            self._observe(m.JOB_DURATION, launched, runtime, outcome.kind)
            await runtime.remove(launch)
        else:
            await remove_ended(self._log, runtime, launch)

    async def _get_runtime(self) -> Runtime:
        async with self._opening:
            if self._runtime is None:
                self._runtime = await self._open_runtime()
            return self._runtime

    async def _record_launch(
        self, running: _Running, token: str, runtime: Runtime, started: Started
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
        answer = await self._record(running.launch, token, e.JobLaunched, facts)
        if answer == "stopping" and self._tasks:
            self._tasks.start_soon(self._stop, running)
        return answer != "lost"

    async def _record_outcome(self, launch: Launch, token: str, outcome: Outcome) -> bool:
        match outcome.kind:
            case "succeeded":
                return await self._record_success(launch, token, outcome.result.encode())
            case "cancelled":
                return await self._record(launch, token, e.JobCancelled, {}) != "lost"
            case kind:
                failure = e.Failure(
                    kind,
                    outcome.reason or f"the agent ended with {kind}",
                    exit_code=outcome.exit_code,
                    last_lines=outcome.last_lines,
                )
                return await self._record(launch, token, e.JobFailed, {"error": failure}) != "lost"

    async def _record_success(self, launch: Launch, token: str, result: bytes) -> bool:
        facts: dict[str, object] = {"result": msgspec.Raw(result)}
        if len(result) > self._log.settings.inline_limit:
            facts = {"blob": await self._log.put_blob(launch.workflow, result)}
        return await self._record(launch, token, e.JobSucceeded, facts) != "lost"

    async def _record(
        self, launch: Launch, token: str, kind: type[e.JobEvent], facts: dict[str, object]
    ) -> str:
        return await self._log.scripts.settle_job(
            launch.workflow,
            job=launch.job,
            token=token,
            type=kind.type,
            rest=_encode(facts).decode(),
            final=kind is not e.JobLaunched,
        )

    async def _switch(self, launch: Launch, freeze: bool) -> None:
        """Freeze or thaw an agent of a workflow that was paused or resumed."""
        if self._runtime:
            await (self._runtime.freeze(launch) if freeze else self._runtime.thaw(launch))

    async def _look_again(self) -> None:
        """The bell may have been missed: stop and thaw the agents that are to be."""
        for name, running in list(self._running.items()):
            if not running.is_started:
                continue
            if await self._log.is_stopping(*name) or not await self._log.is_unsettled(*name):
                await self._stop(running)
            else:
                await self._thaw(running.launch)

    async def _thaw(self, launch: Launch) -> None:
        """Let an agent go on, unless its workflow is paused."""
        if await self._log.status(launch.workflow) != "paused":
            await self._switch(launch, freeze=False)

    async def _stop(self, running: _Running) -> None:
        if self._runtime and running.is_started and not running.is_stopping:
            running.is_stopping = True
            await self._runtime.stop(running.launch)


def _number_of(token: str) -> int:
    """Which of our claims it is; later ones have higher numbers."""
    return int(token.rpartition("/")[2])


def _traceparent_of(workflow: str, event: e.JobRequested) -> str | None:
    """The span of the agent, within the trace of the attempt that asked for it."""
    asked = parse_traceparent(event.spec.traceparent)
    if asked is None:
        return None
    return replace(asked, span_id=span_id_of(workflow, "agent", event.job)).traceparent


def launch_of(workflow: str, event: e.JobRequested) -> Launch:
    spec = event.spec
    return Launch(
        workflow=workflow,
        step=event.step,
        index=event.index,
        attempt=event.attempt,
        job=event.job,
        name=event.name,
        image=spec.image,
        command=None if spec.command is None else tuple(spec.command),
        env=spec.env,
        secrets=spec.secrets,
        input=bytes(spec.input).decode(),
        traceparent=_traceparent_of(workflow, event),
        network=spec.network,
        limits=Limits(
            memory_bytes=spec.memory_bytes,
            cpus=spec.cpus,
            pids=spec.pids,
            timeout_s=spec.timeout_s,
            grace_s=spec.grace_s,
        ),
    )
