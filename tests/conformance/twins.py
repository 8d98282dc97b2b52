"""A wire that makes each call on Redis and on the Redis in memory, and compares what they say."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from redis import exceptions

from agentainer_flow.core.memory import Server
from agentainer_flow.core.memory.values import Failure, Members
from agentainer_flow.core.wire import Wire

#: Sets of which scripts take members at random.
POPPED = "flow:blocked:*"


class Choices:
    """Chooses in memory what Redis has chosen: what is no longer in its sets."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.left: dict[bytes, set[bytes]] = {}

    def sample(self, members: list[bytes], number: int) -> list[bytes]:
        sets = self._server.database.values.items()
        same = [key for key, value in sets if type(value) is Members and list(value) == members]
        left = set[bytes]().union(*(self.left.get(key, set()) for key in same))
        gone = [member for member in members if member not in left]
        if len(gone) < number:
            raise Failure("UNCLEAR which one Redis has taken")
        return gone[:number]


class Clock:
    """That of this machine, and ahead of it by as much as a test asks for; ms."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() * 1000 + self.ahead


class Twins:
    """In place of the wire of a log."""

    def __init__(self, redis: Wire, memory: Wire, server: Server, clock: Clock) -> None:
        self._redis = redis
        self._memory = memory
        self._choices = Choices(server)
        self._clock = clock
        server.database.random = self._choices  # type: ignore[assignment]  # of what it uses
        #: Whether the two can no longer be compared.
        self.is_unclear = False

    async def call(self, *command: Any) -> Any:
        if command[0] == "FCALL":
            # No two within a millisecond: what is set to the same one comes in no order.
            await asyncio.sleep(0.0015)
        answer = await _try(self._redis, command)
        if not self.is_unclear and command[0] == "FCALL":
            await self._compare(command, answer)
        if isinstance(answer, exceptions.RedisError):
            raise answer
        return answer

    async def _compare(self, command: Sequence[Any], answer: Any) -> None:
        fires = str(command[1]).endswith("_fire")
        if fires:
            self._clock.ahead += 2  # what is due a moment later on Redis is due
        sets: list[bytes] = await self._redis.call("KEYS", POPPED)
        self._choices.left = {key: set(await self._redis.call("SMEMBERS", key)) for key in sets}
        again = await _try(self._memory, command)
        if isinstance(again, exceptions.ResponseError) and "UNCLEAR" in str(again):
            self.is_unclear = True
        elif not fires:
            assert timeless(again) == timeless(answer), command

    async def close(self) -> None:
        await self._redis.close()
        await self._memory.close()


async def _try(wire: Wire, command: Sequence[Any]) -> Any:
    try:
        return await wire.call(*command)
    except exceptions.ResponseError as error:
        return error


def timeless(answer: Any) -> Any:
    """An answer without the times in it; those of scripts are MessagePack."""
    match answer:
        case bytes():
            try:
                return timeless(msgspec.msgpack.decode(answer))
            except (msgspec.DecodeError, UnicodeDecodeError):
                return re.sub(rb"\d{13}(-\d+)?", b"(ms)", answer)
        case str():
            return re.sub(r"\d{13}(-\d+)?", "(ms)", answer)
        case int() | float():
            return "(ms)" if answer > 1e12 else answer
        case list():
            return list(map(timeless, cast(Any, answer)))
        case dict():
            return {name: timeless(value) for name, value in cast(Any, answer).items()}
        case Exception():
            return type(answer)
        case _:
            return answer
