"""Definitions by name: what runs can be created of without the code of their class.

Whoever serves a class registers it; a later version of the same name replaces it. Runs keep the
graph that they were created with, so a registration only says what the next run gets.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .errors import DefinitionNotFound
from .log import EventLog

_encode = msgspec.json.Encoder().encode


class InputSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input of a definition. `schema` is JSON Schema of what it takes, where that is known."""

    name: str
    required: bool = False
    schema: dict[str, Any] = {}


class Registration(msgspec.Struct, frozen=True, omit_defaults=True):
    """The latest definition of a name."""

    name: str
    #: Digest under which `flow:definitions` has the graph.
    definition: str
    kind: Literal["python", "container"]
    #: `module:class`, for people.
    code: str = ""
    inputs: list[InputSpec] = []
    #: Arguments that its `__init__` must be given.
    init: list[str] = []
    #: Steps whose items only the code can compute when a run is created.
    computed: list[str] = []


_decode_one = msgspec.json.Decoder(Registration).decode


async def register(log: EventLog, registration: Registration) -> None:
    """Make it the definition of its name. Doing it again changes nothing."""
    data = _encode(registration)
    await log.connection.call(lambda: log.redis.hset(log.keys.registered, registration.name, data))


async def find_registration(log: EventLog, name: str) -> Registration:
    """Raises DefinitionNotFound."""
    data = await log.connection.call(lambda: log.redis.hget(log.keys.registered, name))
    if data is None:
        raise DefinitionNotFound(name)
    return _decode_one(data)


async def list_registrations(log: EventLog) -> list[Registration]:
    """All of them, by name."""
    found: dict[bytes, bytes] = await log.connection.call(
        lambda: log.redis.hgetall(log.keys.registered)
    )
    return [_decode_one(found[name]) for name in sorted(found)]
