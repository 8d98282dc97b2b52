"""Lines on their way from a reading thread to the event loop, bounded in memory.

While the loop is busy with one batch the next gathers, and a moment longer, so a talkative agent
costs one wake-up per batch and not per line; when too much has gathered, the thread waits.
"""

from __future__ import annotations

import asyncio
import threading

import anyio

from .contract import LogLine

#: Characters, and lines, that may wait.
_SIZE = 1024 * 1024
_LINES = 10_000
_GATHER_S = 0.02


class HandoverClosed(Exception):
    """Raised in the thread when nobody takes lines any more."""


class Handover:
    """One thread puts, one task takes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._lines: list[LogLine] = []
        self._size = 0
        self._finished = False
        self._closed = False
        self._ready = anyio.Event()
        self._ended = anyio.Event()

    @property
    def full(self) -> bool:
        return self._size >= _SIZE or len(self._lines) >= _LINES

    def put(self, lines: list[LogLine]) -> None:
        """Add lines from the thread, waiting while full. Raises HandoverClosed."""
        if not lines:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.full)
            if self._closed:
                raise HandoverClosed
            first = not self._lines
            self._lines += lines
            self._size += sum(len(line.text) for line in lines)
        if first:
            self._wake()

    def finish(self) -> None:
        """Say from the thread that no more lines come."""
        with self._changed:
            self._finished = True
        self._wake()
        self._loop.call_soon_threadsafe(self._ended.set)

    async def take(self) -> list[LogLine]:
        """Wait for lines and give all there are; none means the end."""
        while not self._lines and not self._finished:
            await self._ready.wait()
            self._ready = anyio.Event()
        with self._changed:
            lines, self._lines, self._size = self._lines, [], 0
            self._changed.notify()
        return lines

    async def gather(self) -> None:
        """Let lines come together, unless no more come."""
        with anyio.move_on_after(_GATHER_S):
            await self._ended.wait()

    def close(self) -> None:
        """Refuse further lines."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _wake(self) -> None:
        """Wake the taker without waiting for it, which from_thread.run_sync would."""
        self._loop.call_soon_threadsafe(lambda: self._ready.set())
