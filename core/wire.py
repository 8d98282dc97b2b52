"""One connection to Redis that many calls share, each answered in its turn.

The client library opens, secures and parses; what it adds around every command (a pool, a timeout
of its own, parsing by command) costs five times what the call itself does. Here a call writes and
waits for its place in the row of answers, so calls under way at the same time share one trip, and
one that is cancelled leaves the connection as it is.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import hiredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import clock
from .transports import transport

_pack = cast(Callable[[tuple[Any, ...]], bytes], hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType] - it does not tell what it returns

#: Longest silence of a server that owes an answer, seconds; blocking reads stay well below it.
PATIENCE = 15.0


class Wire:
    """Send commands on one connection, which is opened when first needed and again after a cut."""

    def __init__(self, url: str) -> None:
        self._class, options = transport(url)
        self._options: dict[str, Any] = {
            **options,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,
            "socket_connect_timeout": 5,
            "health_check_interval": 0,
            "protocol": 2,
        }
        for option in ("max_connections", "timeout"):  # of pools
            self._options.pop(option, None)
        self._connection: AbstractConnection | None = None
        #: How many there have been.
        self.connections = 0
        self._opening = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        #: Calls without an answer yet, oldest first, and when they were made.
        self._calls: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def call(self, *command: Any) -> Any:
        """Send a command and return its answer, bytes where Redis says text.

        Raises redis.exceptions.RedisError; after a ConnectionError the command may have been done.
        """
        connection = self._connection
        if connection is None or not connection.is_connected:
            connection = await self._open()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._calls.append((answer, loop.time()))
        if self._watch is None:
            self._watch = loop.call_later(PATIENCE, self._look, connection)
        packed = _pack(command)
        try:
            # Runs up to the write without a break, so answers come in the order of `_calls`.
            await connection.send_packed_command([packed], check_health=False)
        except BaseException:
            answer.cancel()
            raise
        return await answer

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
        if self._connection:
            self._fail(self._connection, ConnectionError("it was closed"))
        if self._reading:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _open(self) -> AbstractConnection:
        async with self._opening:
            if self._connection and not self._connection.is_connected:
                # The library closes one that it cannot write to, and would open it anew at the next
                # command, while our reader still waits for what the old one owes.
                self._fail(self._connection, ConnectionError("it was closed"))
            if self._connection is None:
                connection = self._class(**self._options)
                opening: Awaitable[None] = connection.connect()  # type: ignore[no-untyped-call]  # of redis-py
                await opening
                self._connection = connection
                self.connections += 1
                self._reading = asyncio.create_task(self._read(connection))
            return self._connection

    async def _read(self, connection: AbstractConnection) -> None:
        """Hand out answers until the connection ends."""
        try:
            while True:
                try:
                    answer = cast(Any, await connection.read_response(disable_decoding=True))
                except exceptions.ResponseError as error:
                    answer = error
                if connection is not self._connection:  # its calls have failed, others wait now
                    break
                self._answer(answer)
        except (exceptions.RedisError, OSError) as error:
            self._fail(connection, error)
        finally:
            await connection.disconnect(nowait=True)

    def _answer(self, answer: Any) -> None:
        future, _ = self._calls.popleft()
        if future.done():  # whoever asked was cancelled
            return
        if isinstance(answer, exceptions.ResponseError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _fail(self, connection: AbstractConnection, error: BaseException) -> None:
        """Nobody gets an answer from this connection any more; the next call opens another."""
        if connection is not self._connection:
            return
        self._connection = None
        calls, self._calls = self._calls, deque()
        for future, _ in calls:
            if not future.done():
                future.set_exception(exceptions.ConnectionError(f"the connection ended: {error}"))

    def _look(self, connection: AbstractConnection) -> None:
        """End a connection whose server owes an answer for too long."""
        self._watch = None
        loop = asyncio.get_running_loop()
        if not self._calls or connection is not self._connection:
            return
        waited = loop.time() - self._calls[0][1]
        patience = clock.at_most(PATIENCE)
        if waited < patience:
            if patience < math.inf:
                self._watch = loop.call_later(patience - waited, self._look, connection)
            return
        self._fail(connection, TimeoutError(f"no answer for {waited:.0f} s"))
        if self._reading:
            self._reading.cancel()
