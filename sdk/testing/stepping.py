"""A virtual loop that runs up to a moment and stands still there."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ...core.clock import Clock
from .loop import BEGINNING, VirtualLoop

T = TypeVar("T")

#: Timers that are further away are for what never happens, seconds.
HORIZON = 1e9


class SteppedLoop(VirtualLoop):
    """Between two calls of `run_to` nothing moves and no time passes."""

    def __init__(self, now: float = BEGINNING) -> None:
        super().__init__(now)
        self.clock = Clock(self.now, self.time, may_miss=False)
        self.horizon = HORIZON
        self._holds: Callable[[], bool] | None = None
        self._has_held = False
        self._held: deque[asyncio.Handle] = deque()

    def run_to(
        self, holds: Callable[[], bool], *, within: float = math.inf, idle: bool = False
    ) -> bool:
        """Run until it holds, or so many seconds have passed: whether it held.

        Raises Deadlock when nothing is left to happen, unless it may `idle` so long.
        """
        self._holds, self._has_held = holds, False
        self.limit, self.may_idle = self.time() + within, idle
        try:
            self.run_forever()
        finally:
            self._holds, self.limit, self.may_idle = None, math.inf, False
            self._release()
        return self._has_held

    def run_alone(self, main: Coroutine[Any, Any, T]) -> T:
        """Run this while all that is ready stands still."""
        self._hold_up()
        try:
            return self.run_until_complete(main)
        finally:
            self._release()

    def begin_turn(self) -> None:
        if self._holds and not self._stopping and self._holds():
            self._has_held = True
            self._hold_up()
            self.stop()

    def _hold_up(self) -> None:
        self._held, self._ready = self._ready, deque()

    def _release(self) -> None:
        held, self._held = self._held, deque()
        self._ready.extendleft(reversed(held))
