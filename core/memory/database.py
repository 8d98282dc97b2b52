"""The keys of a server: what they hold and until when."""

from __future__ import annotations

from random import Random
from typing import TypeVar, cast

from .code import Code
from .streams import Stream
from .values import Failure, Hash, Items, Members, Ranking

Value = bytes | Hash | Items | Members | Ranking | Stream
V = TypeVar("V", bytes, Hash, Items, Members, Ranking, Stream)

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
#: As TYPE says it.
KINDS: dict[type, bytes] = {
    bytes: b"string",
    Hash: b"hash",
    Items: b"list",
    Members: b"set",
    Ranking: b"zset",
    Stream: b"stream",
}

OPTIONS = {
    b"appendonly": b"yes",
    b"appendfsync": b"always",
    b"maxmemory": b"0",
    b"maxmemory-policy": b"noeviction",
    b"save": b"",
}


class Database:
    """Keys in the order in which they came; what is random comes from `seed`."""

    def __init__(self, seed: int = 0) -> None:
        self.values: dict[bytes, Value] = {}
        #: When keys end, ms.
        self.deadlines: dict[bytes, int] = {}
        #: The time of the command that runs, ms and microseconds.
        self.now = 0
        self.micros = 0
        #: Whether the command that runs may have changed something.
        self.wrote = False
        self.code = Code()
        #: Of CONFIG.
        self.options = dict(OPTIONS)
        #: How many replicas WAIT finds.
        self.replicas = 0
        self.random = Random(seed)  # noqa: S311 - of tests, which have to repeat
        #: Streams that somebody who waits may want to look at again.
        self.stirred: list[bytes] = []

    def look(self, key: bytes) -> Value | None:
        """What a key holds, of any type."""
        if key in self.deadlines and self.now > self.deadlines[key]:
            self.drop(key)
        return self.values.get(key)

    def find(self, key: bytes, kind: type[V]) -> V | None:
        """What a key holds. Fails when that is of another type."""
        value = self.look(key) if self.deadlines else self.values.get(key)
        if value is not None and type(value) is not kind:
            raise Failure(WRONG_TYPE)
        return cast("V | None", value)  # type: ignore[redundant-cast]  # pyright needs it

    def read(self, key: bytes, kind: type[V]) -> V:
        """What a key holds, something empty when there is nothing."""
        value = self.find(key, kind)
        return kind() if value is None else value

    def open(self, key: bytes, kind: type[V]) -> V:
        """As `read`, and what is empty is held from now on; the caller fills it."""
        value = self.find(key, kind)
        if value is None:
            value = kind()
            self.values[key] = value
        return value

    def put(self, key: bytes, value: Value) -> None:
        """Give a key a value in place of the one it had, and without an end."""
        if type(self.values.get(key)) is Stream:
            self.stirred.append(key)
        self.values[key] = value
        self.deadlines.pop(key, None)

    def drop(self, key: bytes) -> Value | None:
        """Remove a key; what it held."""
        self.deadlines.pop(key, None)
        value = self.values.pop(key, None)
        if type(value) is Stream:
            self.stirred.append(key)
        return value

    def keys(self) -> list[bytes]:
        return [key for key in list(self.values) if self.look(key) is not None]

    def clear(self) -> None:
        for key in list(self.values):
            self.drop(key)
