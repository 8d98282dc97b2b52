"""A virtual loop in which the seed says what goes first, and whole nodes can stand still."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from random import Random
from typing import Any, TypeVarTuple, Unpack

from sniffio import thread_local

from agentainer_flow.core.errors import FlowError
from agentainer_flow.sdk.testing.loop import Deadlock, VirtualLoop

from .lives import LIFE, Life

Ts = TypeVarTuple("Ts")

#: Turns of the loop after which a run counts as going round in circles.
BUDGET = 400_000
#: What begins at the end may let others begin; so many turns are given to them.
TURNS_TO_BEGIN = 100


class Livelock(FlowError):
    """Raised when a run does not come to its end."""


class SimulatedLoop(VirtualLoop):
    def __init__(self, seed: int, budget: int = BUDGET) -> None:
        super().__init__()
        self._chance = Random(f"order/{seed}")
        self._turns_left = budget
        self._held: dict[Life, list[asyncio.Handle]] = {}

    def freeze(self, life: Life) -> None:
        life.is_frozen = True
        self._held.setdefault(life, [])

    def thaw(self, life: Life) -> None:
        life.is_frozen = False
        self._ready.extend(self._held.pop(life, []))

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As any loop, without the checks of one whose caller may be wrong."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """As the base class does it, in the order of the seed and without a system to ask."""
        ready, scheduled = self._ready, self._scheduled
        self._turns_left -= 1
        if self._turns_left < 0:
            raise Livelock(f"it goes on and on, at {self.time():.3f} s: {self.waiting()}")
        if not ready and not self._stopping:
            self._drop_cancelled()
            if not scheduled:
                raise Deadlock(self.waiting())
            self._elapsed = max(self._elapsed, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._elapsed:
            timer: Any = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        if len(ready) > 1:
            self._shuffle(ready)
        for _ in range(len(ready)):
            handle: Any = ready.popleft()
            if handle._cancelled:
                continue
            if self._held and (held := self._held_with(handle._context)) is not None:
                held.append(handle)
                continue
            handle._run()

    def run_forever(self) -> None:
        """As any loop; anyio need not ask each time which library it runs on."""
        thread_local.name = "asyncio"
        try:
            super().run_forever()
        finally:
            thread_local.name = None

    def end(self) -> None:
        """What has just begun, or was held, takes its first step before it is cancelled."""
        for _ in range(TURNS_TO_BEGIN):
            self.run_until_complete(asyncio.sleep(0))
            if not any(map(_is_new, self.tasks())):
                break
        super().end()

    def _drop_cancelled(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0].cancelled():
            timer: Any = heapq.heappop(scheduled)
            timer._scheduled = False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """They are dropped when their time has come."""

    def _held_with(self, context: Context) -> list[asyncio.Handle] | None:
        life = context.get(LIFE)
        return self._held.get(life) if life else None

    def _shuffle(self, ready: deque[asyncio.Handle]) -> None:
        """Change the order of steps of tasks; what is between tasks keeps its own."""
        places: list[int] = []
        steps: list[asyncio.Handle] = []
        for place, handle in enumerate(ready):
            owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
            if isinstance(owner, asyncio.Task):
                places.append(place)
                steps.append(handle)
        if len(steps) > 1:
            self._chance.shuffle(steps)
            for place, handle in zip(places, steps, strict=True):
                ready[place] = handle

    def waiting(self) -> str:
        return "\n".join(str(task.get_coro()) for task in self.tasks())


def _is_new(task: asyncio.Task[Any]) -> bool:
    coroutine: Any = task.get_coro()
    return iscoroutine(coroutine) and getcoroutinestate(coroutine) == CORO_CREATED
