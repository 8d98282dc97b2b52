"""Wait for a runtime that does not answer: it may be restarting, and jobs go on meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

import anyio
import structlog

from ...core.errors import RuntimeUnavailable

log = structlog.get_logger()

T = TypeVar("T")

#: Longest time between two tries, s.
_BACKOFF_S = 5.0


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer."""
    delays_s = _backoff()
    waiting = False
    while True:
        try:
            return await ask()
        except RuntimeUnavailable as error:
            if not waiting:
                log.warning("docker.away", problem=str(error))
            waiting = True
        await anyio.sleep(next(delays_s))


def _backoff() -> Generator[float, None, None]:
    delay_s = 0.05
    while True:
        yield delay_s
        delay_s = min(2 * delay_s, _BACKOFF_S)
