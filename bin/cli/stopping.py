"""How a process that serves is told to stop: by a signal, or by the end of its parent."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.abc

from .output import say


async def until_signal(main: Callable[[anyio.Event], Awaitable[None]]) -> None:
    """Run `main` with an event that the first SIGINT or SIGTERM sets; the second ends at once."""
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(_listen, stop)
        await main(stop)
        tasks.cancel_scope.cancel()


async def _listen(
    stop: anyio.Event,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if stop.is_set():
                os._exit(128 + number)
            say(f"{number.name}: handing over; once more stops at once")
            stop.set()


async def stop_with_parent(stop: anyio.Event) -> None:
    """Stop when the supervisor at the other end of stdin is gone, however it went."""
    await anyio.wait_readable(sys.stdin)
    stop.set()


@asynccontextmanager
async def starting(stop: anyio.Event) -> AsyncGenerator[anyio.Event]:
    """Cancel what is within at `stop`, unless the event that this gives has been set by then.

    What starts may wait for Redis as long as that is away; what has started heeds `stop` itself.
    """
    started = anyio.Event()

    async def give_up() -> None:
        await stop.wait()
        if not started.is_set():
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        yield started
        tasks.cancel_scope.cancel()
