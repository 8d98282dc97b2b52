"""Whether the server lives, and whether it can work."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import msgspec
from redis import exceptions

from .calls import Call
from .operations import Answer, Operation, Reply
from .problems import unavailable

#: Seconds that Redis has to answer.
PATIENCE = 2.0


class Health(msgspec.Struct, frozen=True):
    status: Literal["ok"] = "ok"


async def health(call: Call) -> Answer:
    return Answer(Health())


async def ready(call: Call) -> Answer:
    redis: Any = call.log.redis
    try:
        with anyio.fail_after(PATIENCE):
            await redis.ping()
    except (exceptions.RedisError, TimeoutError, OSError) as error:
        raise unavailable() from error
    return Answer(Health())


OPERATIONS = (
    Operation(
        "GET",
        "/health",
        "health",
        "Whether the server lives",
        health,
        "server",
        {200: Reply("It does.", Health)},
        scope=None,
    ),
    Operation(
        "GET",
        "/ready",
        "ready",
        "Whether the server can work",
        ready,
        "server",
        {200: Reply("Redis answers.", Health)},
        scope=None,
    ),
)
