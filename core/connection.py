"""The one place where Redis clients are made, and how a call survives a lost connection.

redis-py repeats a command ten times by itself, which turns one lost reply into several writes. So
its retries are off; `Connection.call` repeats instead, and only what is guarded against repetition.

Scripts and single commands go over a `Wire`, reads that block over a `Tail`; the pool is for
pipelines.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import anyio
import structlog
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .errors import RedisUnavailable
from .tail import Entry, Tail
from .transports import transport
from .wire import Wire

log = structlog.get_logger()

OLDEST = (6, 2)
PROMISED = (7, 0)
SOCKET_TIMEOUT = 15.0
#: Longest time between two tries of a call while Redis is away, seconds.
LONGEST_DELAY = 0.25
COMMAND_CONNECTIONS = 8
#: Entries that one blocking read gets at most.
FOLLOWED = 1000

#: Of INFO: Valkey says which Redis it is like, and its own version.
VERSION = re.compile(r"^(redis|valkey)_version:(\d+\.\d+\S*)", re.MULTILINE)

#: States without an exception of their own in redis-py: a full disk, a script that runs on, and
#: replicas that are away (min-replicas-to-write).
_PASSING_WORDS = ("MISCONF", "BUSY ", "NOREPLICAS")
#: How Redis 6.2 tells of such a state where a script meets it: memory, disk, a read-only replica.
_PASSING_IN_SCRIPT = re.compile(r"Error running script .* -(OOM|MISCONF|READONLY) ")

#: What the library's commands tell its own connections with their options.
_NOTES = ("NEVER_DECODE", "EMPTY_RESPONSE", "keys")

T = TypeVar("T")


class _Client(Redis):
    """The commands of the client library by their names, sent over the wire of all other calls."""

    wire: Wire

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        command, *arguments = args
        answer = await self.wire.call(*command.split(), *arguments)
        if shape := self.response_callbacks.get(command):
            return shape(answer, **{name: options[name] for name in options if name not in _NOTES})
        return answer


def make_client(url: str) -> _Client:
    """Raises RedisUnavailable when the URL is none."""
    try:
        kind, said = transport(url)
    except ValueError as error:
        raise RedisUnavailable(redact(url), str(error)) from error
    options: dict[str, Any] = {
        "max_connections": COMMAND_CONNECTIONS,
        "timeout": None,
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": 5,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "health_check_interval": 0,
        "protocol": 2,
        **said,
    }
    pool = BlockingConnectionPool(connection_class=kind, **options)
    client = cast(_Client, _Client.from_pool(pool))
    client.wire = Wire(url)
    return client


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
    said = str(error)
    return (
        isinstance(error, passing)
        or said.startswith(_PASSING_WORDS)
        or _PASSING_IN_SCRIPT.match(said) is not None
    )


def _is_refusal(error: exceptions.RedisError) -> bool:
    """Redis knows no such name or password; to the library that is an error of the connection."""
    return isinstance(error.__cause__ or error, exceptions.AuthenticationError)


def redact(url: str) -> str:
    """The URL without its password, fit for logs and messages."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


class Connection:
    """The ways to one Redis."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = make_client(url)
        self.wire = self.redis.wire
        self._tails: list[Tail] = []
        self._waiting = False

    async def open(self, *, durability: str = "redis", patience: float = 0) -> None:
        """Check that a Redis of a usable version answers, and keeps what it was given.

        Waits up to `patience` seconds for one that is away. Raises RedisUnavailable.
        """
        try:
            info = await self._ask_who(patience)
        except (exceptions.RedisError, OSError) as error:
            raise RedisUnavailable(redact(self.url), _say(error)) from error
        versions = dict(VERSION.findall(info.decode()))
        found = versions.get("valkey") or versions["redis"]
        if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
            needed = ".".join(str(part) for part in PROMISED)
            problem = f"it has version {found}, needed is {needed} or newer: upgrade it"
            raise RedisUnavailable(redact(self.url), problem)

        if durability == "fsync":
            await self._check_fsync()

    async def _ask_who(self, patience: float) -> bytes:
        """What Redis says of itself."""
        until = anyio.current_time() + patience
        while True:
            try:
                answer: bytes = await self.wire.call("INFO", "server")
            except exceptions.RedisError as error:
                is_hopeless = _is_refusal(error) or not is_passing(error)
                if is_hopeless or anyio.current_time() >= until:
                    raise
                self._say_waiting(error)
            else:
                self._say_back()
                return answer
            await anyio.sleep(LONGEST_DELAY)

    async def _check_fsync(self) -> None:
        """An acknowledged write must be on disk."""
        redis: Any = self.redis
        texts: dict[str, str] = {}
        for option in ("appendonly", "appendfsync"):
            found: dict[str | bytes, str | bytes] = await self.call(
                partial(redis.config_get, option)
            )
            texts.update({_text(name): _text(value) for name, value in found.items()})
        if texts != {"appendonly": "yes", "appendfsync": "always"}:
            has = ", ".join(f"{name} {value}" for name, value in texts.items())
            raise RedisUnavailable(
                redact(self.url),
                "AGENTAINER_DURABILITY=fsync needs appendonly yes and appendfsync always; "
                f"it has {has}",
            )

    @asynccontextmanager
    async def tail(self) -> AsyncGenerator[Tail]:
        """A connection of one's own for reads that block."""
        tail = Tail(self.url)
        self._tails.append(tail)
        try:
            yield tail
        finally:
            self._tails.remove(tail)
            with anyio.CancelScope(shield=True):
                await tail.close()

    async def follow(self, last: dict[str, str]) -> AsyncIterator[tuple[str, list[Entry]]]:
        """(key, entries) of streams as they come, above the id that `last` has for each, for ever.

        `last` moves along; the caller may add streams to it or remove some between two answers.
        Waits while Redis is away.
        """
        async with self.tail() as tail:
            while True:
                try:
                    answer = await tail.read(last, count=FOLLOWED)
                except exceptions.RedisError as error:
                    if not is_passing(error):
                        raise
                    await anyio.sleep(0.2)
                    continue
                for key, entries in answer:
                    if key in last:
                        last[key] = entries[-1][0].decode()
                        yield key, entries

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
            delay = min(delay * 2, LONGEST_DELAY)

    async def close(self) -> None:
        for tail in self._tails:
            await tail.close()
        await self.wire.close()
        await self.redis.aclose()

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
