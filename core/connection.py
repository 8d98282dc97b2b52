"""The one place where Redis clients are made, and how a call survives a lost connection.

redis-py repeats a command ten times by itself, which turns one lost reply into several writes. So
its retries are off; `Connection.call` repeats instead, and only what is guarded against repetition.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import anyio
import structlog
from redis import exceptions
from redis.asyncio import (
    BlockingConnectionPool,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio import Connection as TcpConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .errors import RedisUnavailable

log = structlog.get_logger()

OLDEST = (6, 2)
PROMISED = (7, 0)
#: Longest blocking read, seconds; the socket timeout stays well above it.
BLOCK = 5.0
SOCKET_TIMEOUT = 15.0
COMMAND_CONNECTIONS = 8

#: States without an exception of their own in redis-py: a full disk, a script that runs on.
_PASSING_WORDS = ("MISCONF", "BUSY ")

T = TypeVar("T")


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


class _Tcp(_Closing, TcpConnection): ...


class _Tls(_Closing, SSLConnection): ...


class _Unix(_Closing, UnixDomainSocketConnection): ...


_CONNECTIONS: dict[type, type] = {
    TcpConnection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


def make_client(url: str, connections: int = COMMAND_CONNECTIONS) -> Redis:
    """Raises RedisUnavailable when the URL is none."""
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=None,
            socket_timeout=SOCKET_TIMEOUT,
            socket_connect_timeout=5,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
            health_check_interval=0,
            protocol=2,
        )
    except ValueError as error:
        raise RedisUnavailable(redact(url), str(error)) from error
    pool.connection_class = _CONNECTIONS[pool.connection_class]
    return Redis.from_pool(pool)


class NotReplicated(exceptions.RedisError):
    """Raised when too few replicas have a write in time. It may be sent again."""


def is_passing(error: exceptions.RedisError) -> bool:
    """Tell whether waiting and asking again can help."""
    passing = (
        exceptions.ConnectionError,
        exceptions.TimeoutError,
        exceptions.BusyLoadingError,
        exceptions.ReadOnlyError,
        exceptions.OutOfMemoryError,
        exceptions.MasterDownError,
        exceptions.ClusterDownError,
        NotReplicated,
    )
    return isinstance(error, passing) or str(error).startswith(_PASSING_WORDS)


def redact(url: str) -> str:
    """The URL without its password, fit for logs and messages."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


class Connection:
    """A pool for commands, and dedicated clients for blocking reads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = make_client(url)
        self._readers: list[Redis] = []
        self._waiting = False

    async def open(self, *, durability: str = "redis") -> None:
        """Check that a Redis of a usable version answers, and keeps what it was given.

        Raises RedisUnavailable.
        """
        try:
            info: dict[str, Any] = await self.redis.info("server")
        except (exceptions.RedisError, OSError) as error:
            raise RedisUnavailable(redact(self.url), _say(error)) from error
        found = str(info.get("valkey_version") or info.get("redis_version"))
        if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
            needed = ".".join(str(part) for part in PROMISED)
            problem = f"it has version {found}, needed is {needed} or newer: upgrade it"
            raise RedisUnavailable(redact(self.url), problem)

        if durability == "fsync":
            await self._check_fsync()

    async def _check_fsync(self) -> None:
        """An acknowledged write must be on disk."""
        redis: Any = self.redis
        texts: dict[str, str] = {}
        for option in ("appendonly", "appendfsync"):
            found: dict[str | bytes, str | bytes] = await redis.config_get(option)
            texts.update({_text(name): _text(value) for name, value in found.items()})
        if texts != {"appendonly": "yes", "appendfsync": "always"}:
            has = ", ".join(f"{name} {value}" for name, value in texts.items())
            raise RedisUnavailable(
                redact(self.url),
                "AGENTAINER_DURABILITY=fsync needs appendonly yes and appendfsync always; "
                f"it has {has}",
            )

    def reader(self) -> Redis:
        """A client with one connection of its own, for reads that block."""
        client = make_client(self.url, connections=1)
        self._readers.append(client)
        return client

    async def drop(self, reader: Redis) -> None:
        """Close a client that `reader` gave out."""
        self._readers.remove(reader)
        await reader.aclose()

    async def call(self, command: Callable[[], Awaitable[T]]) -> T:
        """Run a command that is safe to repeat; wait and repeat while Redis is away.

        Errors that no waiting cures go to the caller.
        """
        delay = 0.05
        while True:
            try:
                result = await command()
            except exceptions.RedisError as error:
                if not is_passing(error):
                    raise
                self._say_waiting(error)
            else:
                self._say_back()
                return result
            await anyio.sleep(delay)
            delay = min(delay * 2, 1.0)

    async def close(self) -> None:
        for client in [*self._readers, self.redis]:
            await client.aclose()

    def _say_waiting(self, error: Exception) -> None:
        if not self._waiting:
            log.warning("redis.away", url=redact(self.url), problem=_say(error))
        self._waiting = True

    def _say_back(self) -> None:
        if self._waiting:
            log.warning("redis.back", url=redact(self.url))
        self._waiting = False


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _say(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__
