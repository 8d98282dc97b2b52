"""Engines on a real Redis, in real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, cast

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ...core import clock
from ...core.embedded import ensure
from ...core.ids import new_key
from ...core.keys import Keys
from ...core.log import EventLog
from ...core.settings import Settings, load_settings
from ...reactors.runtimes.contract import Runtime
from .agents import MockAgent
from .engine import FlowEngine
from .faults import Fault
from .roles import Roles
from .stages import Command, T


class RedisEngine(FlowEngine):
    """The same on a real Redis, in real time, in a namespace of its own that is deleted after."""

    def __init__(
        self,
        *,
        agents: Sequence[MockAgent] = (),
        faults: Sequence[Fault] = (),
        lease: float = 2.0,
        within: float = 30.0,
        debug: bool = False,
        **settings: Any,
    ) -> None:
        """The Redis of AGENTAINER_REDIS_URL, unless `settings` name one; else the embedded one."""
        super().__init__(agents=agents, faults=faults, debug=debug, within=within)
        namespace = f"test-{new_key()[:12]}"
        ours = load_settings(
            None, **{"lease": lease, "namespace": namespace, **settings, "partitions": 1}
        )
        self.stage = RedisStage(ours, self._runtime, lease=lease)


class RedisStage:
    """A real Redis and a loop in a thread; time passes as it does."""

    moves = True

    def __init__(self, settings: Settings, runtime: Runtime, *, lease: float) -> None:
        self.settings = settings
        self._keys = Keys(settings.namespace)
        self._stack = ExitStack()
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        url = settings.redis_url or ensure(settings)
        self._portal.call(self._open, url, runtime, lease)

    async def _open(self, url: str, runtime: Runtime, lease: float) -> None:
        self._log = EventLog(self.settings, url)
        await self._log.open()
        self._roles = Roles(self._log, runtime, lease=lease)
        self._main = asyncio.get_running_loop().create_task(self._roles.run())

    def now(self) -> float:
        return clock.now()

    def call(self, command: Command[T]) -> T:
        return self._portal.call(lambda: command(self._log, self._roles))

    def run_to(self, holds: Callable[[], bool], within: float, *, idle: bool) -> bool:
        until = clock.monotonic() + within
        while clock.monotonic() < until:
            if self._main.done():
                self._main.result()
            if holds():
                return True
            time.sleep(0.005)
        return False

    def entries(self, workflow: str, after: int) -> list[Any]:
        async def read() -> list[Any]:
            wire = self._log.connection.wire
            found: list[Any] = await wire.call(
                "XRANGE", self._keys.events(workflow), f"({after}", "+"
            )
            return found

        found: list[Any] = self._portal.call(read)
        return found

    def payloads(self, workflow: str) -> dict[str, bytes]:
        key = self._keys.workflow(workflow, "blobs")
        found: dict[bytes, bytes] = self._portal.call(self._log.redis.hgetall, key)
        return {name.decode(): data for name, data in found.items()}

    def definition(self, digest: str) -> bytes | None:
        found = self._portal.call(self._log.redis.hget, self._keys.definitions, digest)
        return cast("bytes | None", found)

    def close(self) -> None:
        self._portal.call(self._end)
        self._stack.close()

    async def _end(self) -> None:
        self._main.cancel()
        await asyncio.wait([self._main])
        with anyio.move_on_after(5):
            async for key in self._log.redis.scan_iter(match=f"{self.settings.namespace}*"):
                await self._log.redis.unlink(key)
        await self._log.close()
