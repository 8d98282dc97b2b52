"""`run`: all roles in this process, for one workflow. `start`: leave it to whoever serves it.

A run in process has a lane of its own: its engine, worker and launcher see nothing else, and no
other process interferes. When the process dies, the lane's lease runs out and the engine of the
partition adopts the workflow where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
import sniffio

from ..core.bell import Bell
from ..core.errors import FlowError, WorkflowNotFound
from ..core.log import EventLog
from ..core.logging import log_to_stderr
from ..core.payloads import decode
from ..core.settings import Settings, load_settings
from ..projections.workflow import WorkflowView
from ..reactors.capacity import Capacity
from ..reactors.clock import Clock
from ..reactors.engine import Engine
from ..reactors.hop import Hops
from ..reactors.lane import Lane
from ..reactors.launcher import Launcher
from ..reactors.leftovers import remove_leftovers
from ..reactors.projector import Projector
from ..reactors.runtimes.choose import open_runtime
from ..reactors.runtimes.contract import Runtime
from ..reactors.session import Heartbeat
from ..reactors.tracer import keep_for_tracer, open_tracer
from . import client
from .connections import connect, shared
from .creation import trace_of
from .execution import Run
from .handle import Handle, SyncHandle, result_of, wait_ended
from .loop import run_loop
from .metrics import Meter
from .otlp_metrics import FAREWELL, open_exporter, send_metrics
from .portal import call
from .progress import Progress
from .registry import code_of, init_of, refuse_while_loading
from .worker import Worker

Tags = Mapping[str, str] | None


def run(workflow: object, inputs: dict[str, Any], tags: Tags = None) -> Any:
    refuse_while_loading()
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return run_loop(lambda: arun(workflow, inputs, tags=tags))
    raise FlowError("run() blocks; inside a running event loop write `await wf.arun(…)`")


async def arun(
    workflow: object,
    inputs: dict[str, Any],
    settings: Settings | None = None,
    *,
    tags: Tags = None,
) -> Any:
    settings = settings or load_settings()
    log_to_stderr(settings)
    prepared = _prepare(workflow, inputs, settings, tags)
    async with connect(settings) as log:
        runner = _Runner(log, prepared, workflow)
        return await runner.run()


def start(workflow: object, inputs: dict[str, Any], tags: Tags = None) -> SyncHandle:
    refuse_while_loading()
    return SyncHandle(call(astart, workflow, inputs, tags))


async def astart(workflow: object, inputs: dict[str, Any], tags: Tags = None) -> Handle:
    settings = load_settings()
    prepared = _prepare(workflow, inputs, settings, tags)
    log = await shared(settings)
    return Handle(await client.create(log, prepared), settings)


def _prepare(
    workflow: object, inputs: dict[str, Any], settings: Settings, tags: Tags
) -> client.Prepared:
    code, init = code_of(type(workflow)), init_of(workflow)
    return client.prepare(code, init, inputs, settings, tags=tags)


class _Runner:
    """The roles that carry one workflow in this process."""

    def __init__(self, log: EventLog, prepared: client.Prepared, workflow: object) -> None:
        self._log = log
        self._prepared = prepared
        self.id = prepared.workflow
        partition = log.keys.partition(self.id)
        lane = f"run:{self.id}"
        self._projector = Projector(log, partition=partition)
        heart = Heartbeat(log, partition)
        self._lane = Lane(log, partition=partition, name=lane, heart=heart)
        self._engine = Engine(log, self._lane, self._projector, watch=self._watch)
        self._bell = Bell(log, partition=partition, lane=lane)
        self._clock = Clock(log, self._bell, partition=partition, lane=lane)
        hops = Hops(log, self._engine)
        self._worker = Worker(
            log,
            self._bell,
            [prepared.code],
            partition=partition,
            lane=lane,
            capacity=Capacity(log.settings.slots),
            find_hops=lambda: hops,
            heart=heart,
        )
        self._launcher = Launcher(
            log,
            self._bell,
            self._open_runtime,
            partition=partition,
            lane=lane,
            capacity=Capacity(log.settings.agent_slots, log.settings.agent_memory),
            heart=heart,
        )
        inputs = {name: decode(value) for name, value in prepared.inputs.items()}
        trace = trace_of(self.id, prepared.traceparent, log.settings)
        self._worker.runs.keep(self.id, Run(workflow, inputs, trace=trace))
        self._tracer = open_tracer(log, partition)
        self._exporter = open_exporter()
        #: From here on this process counts, if somebody asks for what it counts.
        self._meter = Meter(log, reads_gauges=False) if self._exporter else None
        self._progress = Progress(self.id, prepared.code.definition, log.settings.progress)

    async def run(self) -> Any:
        created = ended = False
        try:
            await self._lane.acquire()
            await self._lane.open_feed()
            if self._tracer:
                await keep_for_tracer(self._log)
            await client.create(self._log, self._prepared, lane=self._lane.name)
            created = True
            await self._carry()
            ended = True
        finally:
            with anyio.move_on_after(self._log.settings.lease, shield=True):
                await self._let_go(created, ended)
        return await result_of(self._log, self.id, await wait_ended(self._log, self.id))

    async def _carry(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._engine.run)
            tasks.start_soon(self._projector.run)
            tasks.start_soon(self._bell.run)
            tasks.start_soon(self._clock.run)
            tasks.start_soon(self._worker.run)
            tasks.start_soon(self._launcher.run)
            if self._tracer:
                tasks.start_soon(self._tracer.run)
            if self._meter and self._exporter:
                tasks.start_soon(send_metrics, self._meter, self._exporter)
            with self._progress:
                await self._engine.stopped.wait()
                # Ended, or the lane was lost and somebody else carries on: the log tells.
                with suppress(WorkflowNotFound):  # Redis has lost it: `run` says so
                    await wait_ended(self._log, self.id)
            with anyio.move_on_after(self._log.settings.lease):
                await self._launcher.drain()
            if self._tracer:
                await self._tracer.finish(FAREWELL)
            tasks.cancel_scope.cancel()

    async def _let_go(self, created: bool, ended: bool) -> None:
        """Delete the lane, or hand the workflow back so that it can go on elsewhere at once."""
        sessions = [self._worker.session, self._launcher.session]
        if ended or not created:
            await self._log.scripts.close_lane(
                self._lane.partition,
                lane=self._lane.name,
                token=self._lane.token,
                sessions=sessions,
            )
        else:
            await self._lane.release(sessions)
            self._progress.interrupted(self._prepared.code.reference)

    def _watch(self, view: WorkflowView) -> None:
        self._progress.show(view)

    async def _open_runtime(self) -> Runtime:
        runtime = await open_runtime(self._log.settings, await self._log.installation())
        await remove_leftovers(self._log, runtime)
        return runtime
