"""The client library's connections, made to tell every loss of themselves as a ConnectionError."""

from __future__ import annotations

from typing import Any, cast

from redis import exceptions
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection


class _Closing:
    """A connection that the other side closes is lost, whatever the event loop calls it.

    uvloop refuses to write to one with a RuntimeError, which redis-py lets through.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await cast(Any, super()).send_packed_command(command, check_health)
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            raise exceptions.ConnectionError(str(error)) from error


class _Tcp(_Closing, Connection): ...


class _Tls(_Closing, SSLConnection): ...


class _Unix(_Closing, UnixDomainSocketConnection): ...


_CONNECTIONS: dict[type, type[AbstractConnection]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


def transport(kind: type) -> type[AbstractConnection]:
    """The class to use for a class of the library."""
    return _CONNECTIONS[kind]
