"""The roles that one process has in one partition, and what its partitions have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import anyio
import anyio.abc
import msgspec

from ..core.bell import Bell
from ..core.log import EventLog
from ..reactors.capacity import Capacity
from ..reactors.clock import Clock
from ..reactors.janitor import Janitor
from ..reactors.launcher import Launcher
from ..reactors.projector import Projector
from ..reactors.runtimes.contract import Runtime
from ..reactors.session import Heartbeat, Session
from ..reactors.share import Share
from ..reactors.tenure import Tenures
from .graph import WorkflowCode
from .retention import Retention
from .worker import Worker

Main = Callable[[], Coroutine[Any, Any, None]]


class Common(msgspec.Struct, frozen=True):
    """What all partitions of a process have in common."""

    log: EventLog
    codes: Sequence[WorkflowCode]
    #: The names of its sessions by role, in the order in which the roles are added.
    names: Mapping[str, str]
    tasks: Capacity
    agents: Capacity
    open_runtime: Callable[[], Awaitable[Runtime]]
    #: Of the lanes; None: there is one partition, or no scheduler here.
    share: Share | None = None


class PartitionRoles:
    """The roles of a process in one partition."""

    def __init__(self, common: Common, partition: int) -> None:
        self._common = common
        self._log = common.log
        self._partition = partition
        self._bell = Bell(self._log, partition=partition)
        self._heart = Heartbeat(self._log, partition)
        self._mains: list[Main] = [self._bell.run]
        #: What gives up what it owns, in this order.
        self._owners: list[Main] = []
        self._drains: list[Main] = []
        #: What decides on the last results.
        self._rests: list[Main] = []
        #: Its engine, when this process has one.
        self._tenures: Tenures | None = None
        add = {
            "scheduler": self._add_scheduler,
            "clock": self._add_clock,
            "janitor": self._add_janitor,
            "worker": self._add_worker,
            "launcher": self._add_launcher,
        }
        for role in common.names:
            add[role]()

    @property
    def has_session(self) -> bool:
        return self._heart.began.is_set()

    async def wait_for_session(self) -> None:
        await self._heart.began.wait()

    async def open(self) -> None:
        await self._bell.open()

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        for main in self._mains:
            tasks.start_soon(main)

    async def drain(self) -> None:
        """Begin no more tasks; return when those that run are settled."""
        for drain in self._drains:
            await drain()

    async def rest(self) -> None:
        """Once no task runs any more: decide on the last results, bring documents up to date."""
        for rest in self._rests:
            await rest()

    async def hand_over(self) -> None:
        """Once nothing runs any more: give up what is owned."""
        for let_go in self._owners:
            await let_go()

    def _add_scheduler(self) -> None:
        projector = Projector(self._log, partition=self._partition)
        tenures = self._tenures = Tenures(
            self._log,
            projector,
            self._heart,
            partition=self._partition,
            share=self._common.share,
        )
        self._mains += [projector.run, tenures.run]
        self._rests.append(tenures.rest)
        self._owners.append(tenures.release)
        self._add_session("scheduler")

    def _add_clock(self) -> None:
        self._add_session("clock")
        self._mains.append(Clock(self._log, self._bell, partition=self._partition).run)

    def _add_janitor(self) -> None:
        self._add_session("janitor")
        self._mains.append(Janitor(self._log, self._heart, partition=self._partition).run)
        self._mains.append(Retention(self._log, partition=self._partition).run)

    def _add_worker(self) -> None:
        worker = Worker(
            self._log,
            self._bell,
            self._common.codes,
            partition=self._partition,
            capacity=self._common.tasks,
            find_hops=self._tenures.hops if self._tenures else None,
            name=self._common.names["worker"],
            heart=self._heart,
        )
        self._mains.append(worker.run)
        self._drains.append(worker.drain)
        self._owners.append(worker.hand_back)

    def _add_launcher(self) -> None:
        launcher = Launcher(
            self._log,
            self._bell,
            self._common.open_runtime,
            partition=self._partition,
            capacity=self._common.agents,
            name=self._common.names["launcher"],
            heart=self._heart,
        )
        self._mains.append(launcher.run)
        self._owners.append(launcher.hand_back)

    def _add_session(self, role: str) -> None:
        session = Session(
            self._log,
            role,
            partition=self._partition,
            name=self._common.names[role],
            heart=self._heart,
        )
        self._mains.append(session.keep)
        self._owners.append(session.hand_back)
