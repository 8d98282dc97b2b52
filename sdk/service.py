"""The roles of one process for the shared lane: all of them, or some.

    scheduler   engine and projector: one process owns the lane, the others stand by
    clock       lets timers happen
    janitor     takes over from the dead
    worker      runs steps
    launcher    runs agents

Any number of processes may have the same role. A process that is asked to stop lets the tasks that
run end while its other roles go on, and then hands back what it owns, so that others can go on with
it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

import anyio
import anyio.abc

from ..core.bell import Bell
from ..core.log import EventLog
from ..reactors.clock import Clock
from ..reactors.engine import Engine
from ..reactors.hop import Hops
from ..reactors.janitor import Janitor
from ..reactors.lane import Lane
from ..reactors.launcher import Launcher
from ..reactors.projector import Projector
from ..reactors.runtimes.choose import open_runtime
from ..reactors.runtimes.contract import Runtime
from ..reactors.session import Session
from .graph import WorkflowCode
from .worker import Worker

Main = Callable[[], Coroutine[Any, Any, None]]

REACTORS = ("scheduler", "clock", "janitor")
ROLES = (*REACTORS, "worker", "launcher")
#: Longest time for handing back, seconds: Redis may be away for good.
FAREWELL = 5.0


class Service:
    """The roles of one partition that this process has."""

    def __init__(
        self,
        log: EventLog,
        codes: Sequence[WorkflowCode] = (),
        *,
        roles: Collection[str] = ROLES,
        partition: int = 0,
    ) -> None:
        self._log = log
        self._codes = codes
        self._partition = partition
        self._bell = Bell(log, partition=partition)
        self._mains: list[Main] = [self._bell.run]
        #: What gives up what it owns, in this order.
        self._owners: list[Main] = []
        self._drains: list[Main] = []
        #: The short way to the engine, when this process has one.
        self._hops: Hops | None = None
        add = {
            "scheduler": self._add_scheduler,
            "clock": self._add_clock,
            "janitor": self._add_janitor,
            "worker": self._add_worker,
            "launcher": self._add_launcher,
        }
        for role in ROLES:
            if role in roles:
                add[role]()

    async def run(
        self,
        stop: anyio.Event | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `stop`, or until cancelled: then running tasks get no time to end."""
        await self._bell.open()
        try:
            async with anyio.create_task_group() as tasks:
                for main in self._mains:
                    tasks.start_soon(main)
                task_status.started()
                await (stop or anyio.Event()).wait()
                await self._drain()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(FAREWELL, shield=True):
                for let_go in self._owners:
                    await let_go()

    async def _drain(self) -> None:
        with anyio.move_on_after(self._log.settings.grace):
            for drain in self._drains:
                await drain()

    def _add_scheduler(self) -> None:
        projector = Projector(self._log)
        lane = Lane(self._log, partition=self._partition)
        engine = Engine(self._log, lane, projector)
        self._hops = Hops(self._log, engine)
        self._add_session("scheduler")
        self._mains += [projector.run, engine.run]
        self._owners.append(lane.release)

    def _add_clock(self) -> None:
        self._add_session("clock")
        self._mains.append(Clock(self._log, self._bell, partition=self._partition).run)

    def _add_janitor(self) -> None:
        self._add_session("janitor")
        self._mains.append(Janitor(self._log, partition=self._partition).run)

    def _add_worker(self) -> None:
        worker = Worker(
            self._log,
            self._bell,
            self._codes,
            partition=self._partition,
            slots=self._log.settings.slots,
            hops=self._hops,
        )
        self._mains.append(worker.run)
        self._drains.append(worker.drain)
        self._owners.append(worker.hand_back)

    def _add_launcher(self) -> None:
        launcher = Launcher(
            self._log,
            self._bell,
            self._open_runtime,
            partition=self._partition,
            slots=self._log.settings.agent_slots,
        )
        self._mains.append(launcher.run)
        self._owners.append(launcher.hand_back)

    def _add_session(self, role: str) -> None:
        session = Session(self._log, role, partition=self._partition)
        self._mains.append(session.keep)
        self._owners.append(session.hand_back)

    async def _open_runtime(self) -> Runtime:
        return await open_runtime(self._log.settings, await self._log.installation())
