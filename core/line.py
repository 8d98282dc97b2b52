"""One open connection to Redis: commands go out, answers come in, in the order of the commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import hiredis
from redis import exceptions

#: What the parser says while an answer is not complete.
_NOTHING = object()


class Owner(Protocol):
    """Whose line it is."""

    def answered(self, answer: Any) -> None:
        """Take the next answer: bytes where Redis says text, an exception where it refuses."""

    def ended(self, line: Line, error: BaseException) -> None:
        """No more answers come. Told once, and not of a line that its owner closed."""


class Line(Protocol):
    @property
    def is_open(self) -> bool: ...

    def write(self, packed: bytes) -> None:
        """Send a command. Raises redis.exceptions.ConnectionError where nothing can be sent."""

    def close(self) -> None: ...


class HasLine(Protocol):
    """A connection of the client library, which opens and secures it."""

    async def open_line(self, owner: Owner) -> Line:
        """Open it, and take over from the library. Raises redis.exceptions.RedisError."""
        ...


class SocketLine(asyncio.Protocol):
    """Parses answers as their bytes arrive; the library takes three times as long for that."""

    def __init__(
        self,
        transport: asyncio.Transport,
        owner: Owner,
        *,
        error_of: Callable[[str], Exception],
        close: Callable[[], None],
    ) -> None:
        """`close` is the library's; `error_of` tells what an error that Redis answers is to it."""
        self._transport = transport
        self._owner: Owner | None = owner
        self._close = close
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=error_of,
            notEnoughData=_NOTHING,
        )
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return self._owner is not None and not self._transport.is_closing()

    def write(self, packed: bytes) -> None:
        try:
            self._transport.write(packed)
        except RuntimeError as error:  # what uvloop says of a connection that is closed
            raise exceptions.ConnectionError(str(error)) from error

    def close(self) -> None:
        """At once: a command that is still to be sent may have been repeated on another line."""
        self._owner = None
        self._transport.abort()
        self._close()

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while self._owner:
                answer = self._reader.gets()
                if answer is _NOTHING:
                    return
                if isinstance(answer, exceptions.ConnectionError):  # it is loading its data
                    raise answer
                self._owner.answered(answer)
        except (exceptions.ConnectionError, exceptions.InvalidResponse) as error:
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or exceptions.ConnectionError("Connection closed by server."))

    def _end(self, error: Exception) -> None:
        owner = self._owner
        self.close()
        if owner:
            owner.ended(self, error)
