"""The time of day and the time that passes, read here so that tests can bring their own.

Decisions are made by what these say; `time` itself is for measuring, and for what happens outside
of us (processes, containers, files).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Clock(NamedTuple):
    """Where the time comes from. Both are in seconds."""

    #: Since 1970, UTC.
    now: Callable[[], float]
    #: Since whenever; never goes back.
    monotonic: Callable[[], float]
    #: What wakes those who wait may get lost, so that they look for themselves now and then.
    may_miss: bool = True


_SYSTEM = Clock(time.time, time.monotonic)

_clock: ContextVar[Clock] = ContextVar("clock", default=_SYSTEM)


def now() -> float:
    """Seconds since 1970, UTC."""
    return _clock.get().now()


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return int(_clock.get().now() * 1000)


def monotonic() -> float:
    """Seconds of a clock that nobody sets."""
    return _clock.get().monotonic()


def at_most(seconds: float) -> float:
    """How long to wait for what may get lost before looking for it; for ever if nothing does."""
    return seconds if _clock.get().may_miss else math.inf


@contextmanager
def use_clock(clock: Clock) -> Generator[None]:
    """Take the time from this clock, here and in all tasks and threads that begin within."""
    token = _clock.set(clock)
    try:
        yield
    finally:
        _clock.reset(token)
