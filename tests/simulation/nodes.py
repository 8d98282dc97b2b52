"""Nodes: real services, each with its own connections, clock and names, that die and come again."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import ExitStack, suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import anyio

from agentainer_flow.core.clock import Clock, use_clock
from agentainer_flow.core.errors import RedisUnavailable, WorkflowCancelled, WorkflowFailed
from agentainer_flow.core.ids import Origin, use_origin
from agentainer_flow.core.log import EventLog
from agentainer_flow.sdk.client import Prepared
from agentainer_flow.sdk.progress import Progress
from agentainer_flow.sdk.runner import _Runner  # pyright: ignore[reportPrivateUsage] - run() has no key
from agentainer_flow.sdk.service import Service

from .flows import RECORDER
from .hosts import RUNTIME, Host, SimulatedRuntime
from .lives import LIFE, Life
from .plan import Node

if TYPE_CHECKING:
    from .world import World


class Member:
    """A node of a run through all of its lives."""

    def __init__(self, world: World, node: Node, number: int) -> None:
        self.node = node
        self._number = number
        self.host = world.host(node.host)
        self.life = Life(node.name, 0)
        self._world = world
        self._lives = 0
        self._main: asyncio.Task[None] | None = None
        self._stop = anyio.Event()

    @property
    def is_alive(self) -> bool:
        return self._main is not None and not self.life.is_dead

    @property
    def _pid(self) -> int:
        return 1000 * self._number + self._lives

    @property
    def process(self) -> str:
        """Host and pid, as in the names of its sessions."""
        return f"{self.host.name}:{self._pid}"

    def start(self) -> None:
        """Begin its next life, unless it has begun: each of several faults starts it again."""
        if self.is_alive:
            return
        self._lives += 1
        self.life = Life(self.node.name, self._lives, self.node.slots)
        self._stop = anyio.Event()
        world = self._world
        chance = Random(f"{world.plan.seed}/{self.life}")
        context = world.context.copy()
        context.run(LIFE.set, self.life)
        context.run(RECORDER.set, world.recorder)
        main = self._live(self.life, self.host, chance, self._stop)
        self._main = world.loop.create_task(main, name=str(self.life), context=context)
        self._main.add_done_callback(partial(self._ended, self.life))
        world.story.tell(f"{self.life} starts on {self.host.name}")

    async def _live(self, life: Life, host: Host, chance: Random, stop: anyio.Event) -> None:
        world = self._world
        settings = world.settings_of(self.node)
        with ExitStack() as stack:
            stack.enter_context(use_clock(skewed(world.loop.clock, self.node.skew_s)))
            stack.enter_context(use_origin(Origin(chance, host.name, self._pid)))
            log = EventLog(settings, world.url)
            bounds = self.node if world.plan.is_calm else None
            RUNTIME.set(SimulatedRuntime(host, chance, lambda: not life.is_dead, bounds))
            try:
                await log.open()
                await self._serve(log, stop)
            finally:
                with anyio.CancelScope(shield=True):
                    await log.close()

    async def _serve(self, log: EventLog, stop: anyio.Event) -> None:
        codes = self._world.codes_of(self.node)
        await Service(log, codes, roles=self.node.roles).run(stop)

    def _ended(self, life: Life, main: asyncio.Task[None]) -> None:
        """Start again what cannot begin without Redis; nobody else ends by itself."""
        error = None if main.cancelled() else main.exception()
        if life.is_dead or error is None:
            return
        self._main = None
        if isinstance(leaf(error), RedisUnavailable):
            self._world.loop.call_later(0.5, self.start)
        else:
            raised = "".join(traceback.format_exception(leaf(error)))
            self._world.recorder.complain(f"{life} ended by itself: {raised}")

    def kill(self) -> None:
        """End it as SIGKILL does: what it still does reaches nobody."""
        life, main = self.life, self._main
        if main is None or life.is_dead:
            return
        life.is_dead = True
        self._world.network.cut(life)
        self._world.loop.thaw(life)
        main.cancel()
        self._main = None
        self._world.story.tell(f"{life} dies")

    async def stop(self) -> None:
        """Ask it to stop, and wait until it has; another may have followed one that died in it."""
        self._stop.set()
        if main := self._main:
            life = self.life
            await asyncio.wait([main])
            life.is_dead = True
            if self._main is main:
                self._main = None


class _Silent(Progress):
    def interrupted(self, reference: str) -> None:
        """Nobody is there who wants to know."""


class Alone(Member):
    """A process that runs one workflow by itself; nobody starts it again."""

    prepared: Prepared | None = None

    def start(self) -> None:
        if self.prepared and not self._lives:
            super().start()

    async def _serve(self, log: EventLog, stop: anyio.Event) -> None:
        run = self.prepared
        if run is None:
            return
        runner = _Runner(log, run, run.code.cls())
        runner._progress = _Silent(run.workflow, run.code.definition, "off")  # pyright: ignore[reportPrivateUsage]
        with suppress(WorkflowFailed, WorkflowCancelled):
            await runner.run()

    async def stop(self) -> None:
        if self._main:
            self._main.cancel()
        await super().stop()


def skewed(clock: Clock, by_s: float) -> Clock:
    return Clock(lambda: clock.now() + by_s, clock.monotonic) if by_s else clock


def leaf(error: BaseException) -> BaseException:
    """The first of those that an error is made of."""
    match error:
        case BaseExceptionGroup(exceptions=(first, *_)):
            return leaf(first)
        case _:
            return error
