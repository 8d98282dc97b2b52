"""What an engine of tests runs on: virtual time and a Redis in memory, or a real Redis."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from itertools import count
from typing import Any, Protocol, TypeVar, cast

from ...core.clock import use_clock
from ...core.ids import Origin, use_origin
from ...core.keys import Keys
from ...core.log import EventLog
from ...core.memory import serve
from ...core.settings import Settings
from ...reactors.runtimes.contract import Runtime
from .reader import Store
from .roles import Roles
from .stepping import SteppedLoop

__tracebackhide__ = True  # for pytest: what a test did is in other frames

T = TypeVar("T")

#: A command: gets the log to give it on, and the roles.
Command = Callable[[EventLog, Roles], Awaitable[T]]

_numbers = count(1)


class Stage(Store, Protocol):
    """Where the roles of one engine run."""

    settings: Settings

    def now(self) -> float:
        """The time of day there, seconds since 1970."""
        ...

    def call(self, command: Command[T]) -> T:
        """Do something to the roles, or to workflows."""
        ...

    def run_to(self, holds: Callable[[], bool], within: float, *, idle: bool) -> bool:
        """Go on until it holds, or so many seconds have passed: whether it held.

        Raises Deadlock when nothing is left to happen, unless it may `idle` so long.
        """
        ...

    def close(self) -> None: ...


class VirtualStage:
    """A Redis in memory and a loop of virtual time; nothing moves but in a call."""

    moves = False

    def __init__(
        self, settings: Settings, runtime: Runtime, *, now: float, seed: int, lease: float
    ) -> None:
        self.settings = settings
        self._loop = SteppedLoop(now)
        self._origin = Origin(random.Random(seed), "local", 1)  # noqa: S311 - the same each time
        self._name = f"local-{next(_numbers)}"
        self._keys = Keys(settings.namespace)
        self._stack = ExitStack()
        self._server = self._stack.enter_context(
            serve(self._name, clock=self._now_ms, seed=seed, keeps_journal=True)
        )
        self._drive(lambda: self._loop.run_until_complete(self._open(runtime, lease)))

    async def _open(self, runtime: Runtime, lease: float) -> None:
        url = f"memory://{self._name}"
        #: Commands have a connection of their own, so that they go while all else stands still.
        self._log, self._commands = (EventLog(self.settings, url) for _ in range(2))
        await self._log.open()
        self._roles = Roles(self._log, runtime, lease=lease)
        self._main = self._loop.create_task(self._roles.run(), name="roles")

    def now(self) -> float:
        return self._loop.now()

    def _now_ms(self) -> float:
        return self._loop.now() * 1000

    def call(self, command: Command[T]) -> T:
        async def run() -> T:
            return await command(self._commands, self._roles)

        return self._drive(lambda: self._loop.run_alone(run()))

    def run_to(self, holds: Callable[[], bool], within: float, *, idle: bool) -> bool:
        written = -1

        def is_over() -> bool:
            nonlocal written
            if self._main.done():
                self._main.result()
            before, written = written, len(self._server.journal or ())
            return before != written and holds()  # of most turns there is no news

        return self._drive(lambda: self._loop.run_to(is_over, within=within, idle=idle))

    def entries(self, workflow: str, after: int) -> list[Any]:
        key = self._keys.events(workflow)
        return cast("list[Any]", self._ask("XRANGE", key, f"({after}", "+"))

    def payloads(self, workflow: str) -> dict[str, bytes]:
        flat: Any = self._ask("HGETALL", self._keys.workflow(workflow, "blobs"))
        return {name.decode(): data for name, data in zip(flat[::2], flat[1::2], strict=True)}

    def definition(self, digest: str) -> bytes | None:
        return cast("bytes | None", self._ask("HGET", self._keys.definitions, digest))

    def _ask(self, *command: str) -> object:
        """Read past the loop, which stands still."""
        return self._server.run([part.encode() for part in command])

    def close(self) -> None:
        if not self._loop.is_closed():
            self._drive(self._loop.end)
            self._stack.close()

    def _drive(self, work: Callable[[], T]) -> T:
        """Run the loop: here, or in a thread where another loop runs here already."""

        def run() -> T:
            with use_clock(self._loop.clock), use_origin(self._origin):
                return work()

        return _in_thread(run) if _runs_a_loop() else run()


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(work: Callable[[], T]) -> T:
    """Call it in a thread of its own, in a copy of this context."""
    ended: list[T] = []
    raised: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            ended.append(context.run(work))
        except BaseException as error:  # it is raised where it was called
            raised.append(error)

    thread = threading.Thread(target=run, name="agentainer test")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return ended[0]
