"""One connection to Redis that many calls share, each answered in its turn.

The client library opens and secures; what it adds around every command (a pool, a timeout of its
own, parsing by command) costs ten times what the call itself does. Here a call writes and waits for
its place in the row of answers, so calls under way at the same time share one trip, and one that is
cancelled leaves the connection as it is.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import clock
from .line import HasLine, Line
from .transports import transport

_pack = cast(Callable[[tuple[Any, ...]], bytes], hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType] - it does not tell what it returns

#: Longest silence of a server that owes an answer, seconds; blocking reads stay well below it.
PATIENCE = 15.0


class Wire:
    """Send commands on one connection, which is opened when first needed and again after a cut."""

    def __init__(self, url: str) -> None:
        kind, options = transport(url)
        self._kind = cast(Callable[..., HasLine], kind)
        self._options: dict[str, Any] = {
            **options,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": PATIENCE,  # of the questions at the opening, later ones are ours
            "socket_connect_timeout": 5,
            "health_check_interval": 0,
            "protocol": 2,
        }
        for option in ("max_connections", "timeout"):  # of pools
            self._options.pop(option, None)
        self._line: Line | None = None
        #: That of the line. To ask for it costs a call of the operating system before Python 3.12.
        self._loop: asyncio.AbstractEventLoop | None = None
        #: How many there have been.
        self.connections = 0
        self._opening = asyncio.Lock()
        #: Calls without an answer yet, oldest first, and when they were made.
        self._calls: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return self._line is not None

    async def call(self, *command: Any) -> Any:
        """Send a command and return its answer, bytes where Redis says text.

        Raises redis.exceptions.RedisError; after a ConnectionError the command may have been done.
        """
        line = self._line
        if line is None or not line.is_open:
            line = await self._open()
        line.write(_pack(command))
        loop = self._loop or asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._calls.append((answer, loop.time()))
        if self._watch is None:
            self._watch = loop.call_later(PATIENCE, self._look)
        return await answer

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
            self._watch = None
        if self._line:
            self._fail(self._line, ConnectionError("it was closed"))

    async def _open(self) -> Line:
        async with self._opening:
            if self._line and not self._line.is_open:
                self._fail(self._line, ConnectionError("it was closed"))
            if self._line is None:
                self._line = await self._kind(**self._options).open_line(self)
                self._loop = asyncio.get_running_loop()
                self.connections += 1
            return self._line

    def answered(self, answer: Any) -> None:
        """Give an answer to the oldest call."""
        future, _ = self._calls.popleft()
        if future.done():  # whoever asked was cancelled
            return
        if isinstance(answer, exceptions.ResponseError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def ended(self, line: Line, error: BaseException) -> None:
        """Nobody gets an answer from this line any more; the next call opens another."""
        if line is not self._line:
            return
        self._line = None
        calls, self._calls = self._calls, deque()
        for future, _ in calls:
            if not future.done():
                future.set_exception(exceptions.ConnectionError(f"the connection ended: {error}"))

    def _fail(self, line: Line, error: BaseException) -> None:
        line.close()
        self.ended(line, error)

    def _look(self) -> None:
        """End a connection whose server owes an answer for too long."""
        self._watch = None
        loop = asyncio.get_running_loop()
        if not self._calls or self._line is None:
            return
        waited = loop.time() - self._calls[0][1]
        patience = clock.at_most(PATIENCE)
        if waited < patience:
            if patience < math.inf:
                self._watch = loop.call_later(patience - waited, self._look)
            return
        self._fail(self._line, TimeoutError(f"no answer for {waited:.0f} s"))
