"""A read that waits at the server for an entry."""

from __future__ import annotations

import asyncio
from collections.abc import Set

from .reading import Reading
from .server import Server
from .values import Failure, Reply


class Waiting:
    def __init__(self, server: Server, reading: Reading) -> None:
        """Wait from now on, at most as long as the reading says."""
        self._server = server
        self._reading = reading
        self._keys = frozenset(reading.keys)
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Reply] = self._loop.create_future()
        self.answer.add_done_callback(self._leave)
        self._timer = (
            self._loop.call_later(reading.block / 1000, self._settle, None)
            if reading.block
            else None
        )
        server.waiting.append(self)

    def look_again(self, stirred: Set[bytes]) -> None:
        """Answer when there is something to read in what has changed."""
        if self.answer.done() or stirred.isdisjoint(self._keys):
            return
        try:
            reply = self._server.run(self._reading.command())
        except Failure as failure:
            reply = failure
        if reply is None:
            return
        if asyncio._get_running_loop() is self._loop:  # pyright: ignore[reportPrivateUsage] - the public one raises
            self._settle(reply)
        else:
            self._server.waiting.remove(self)
            self._loop.call_soon_threadsafe(self._settle, reply)

    def _settle(self, reply: Reply) -> None:
        if not self.answer.done():
            self.answer.set_result(reply)
            self._leave(self.answer)

    def _leave(self, _: asyncio.Future[Reply]) -> None:
        """No more of it; at once, so that nothing is read for it twice."""
        if self._timer:
            self._timer.cancel()
        if self in self._server.waiting:
            self._server.waiting.remove(self)
