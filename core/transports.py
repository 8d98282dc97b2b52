"""The client library's connections, made to give away their sockets, and to tell every loss."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection, parse_url

from .line import Owner, SocketLine


class _Taken:
    """A connection that gives away its socket, and tells every loss as such.

    uvloop refuses to write to one that the other side has closed with a RuntimeError, which
    redis-py lets through.
    """

    async def open_line(self, owner: Owner) -> SocketLine:
        """Open it, and take over from the library. Raises redis.exceptions.RedisError."""
        library = cast(Any, self)
        try:
            await library.connect()
            if library._reader.at_eof():
                raise exceptions.ConnectionError("Connection closed by server.")
            return SocketLine(
                library._writer.transport,
                owner,
                error_of=library._parser.parse_error,
                close=library._close,
            )
        except BaseException:
            library._close()
            raise

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await cast(Any, super()).send_packed_command(command, check_health)
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            raise exceptions.ConnectionError(str(error)) from error


class _Tcp(_Taken, Connection): ...


class _Tls(_Taken, SSLConnection): ...


class _Unix(_Taken, UnixDomainSocketConnection): ...


_CONNECTIONS: dict[type, type[AbstractConnection]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


def transport(url: str) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """The class of the connections to a Redis, and the options that its URL says.

    `memory://NAME` is a Redis in this process, `memory://CLIENT@NAME` the same for a client whose
    connections can be told from others. Raises ValueError when the URL is none.
    """
    if url.startswith("memory://"):
        # Only tests need it, and it needs an extra.
        from .memory.connection import MemoryConnection

        client, _, server = urlsplit(url).netloc.rpartition("@")
        return MemoryConnection, {"server": server, "client": client}
    options: dict[str, Any] = {**_introduction(), **parse_url(url)}
    return _CONNECTIONS[options.pop("connection_class", Connection)], options


@cache
def _introduction() -> dict[str, Any]:
    """How connections introduce themselves: finding that out takes the library 4 ms for each."""
    if "driver_info" not in inspect.signature(cast(Any, AbstractConnection)).parameters:
        return {}
    from redis.driver_info import DriverInfo

    return {"driver_info": DriverInfo()}
