"""Identifiers: sortable workflow ids, writer names, readable job ids, content digests.

What is made by chance, or names this process, is asked of an `Origin`, which tests replace: with a
seeded generator the same run has the same names again.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import uuid_utils

from . import clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case

#: The chance of the operating system: what is a secret may be made of it.
_SYSTEM = random.SystemRandom()


class Origin(NamedTuple):
    """Who makes names: a generator of random numbers, and the process that it is."""

    chance: random.Random
    host: str
    pid: int


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def origin() -> Origin:
    """That of the operating system, unless a test brings another."""
    return _origin.get() or Origin(_SYSTEM, socket.gethostname(), os.getpid())


def chance() -> random.Random:
    return origin().chance


@contextmanager
def use_origin(new: Origin) -> Generator[None]:
    """Make names by this origin, here and in all tasks and threads that begin within."""
    token = _origin.set(new)
    try:
        yield
    finally:
        _origin.reset(token)


def new_workflow_id(key: str | None = None) -> str:
    """Make an id of 26 characters.

    It sorts by creation time (a UUIDv7 in base 32); with an idempotency key it is made of that
    key, so that the same key asks for the same run.
    """
    number = _time_ordered() if key is None else _number_of(key)
    digits: list[str] = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _number_of(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])


def _time_ordered() -> int:
    """A UUIDv7. The library orders those of one millisecond, too."""
    brought = _origin.get()
    if brought is None:
        return int(uuid_utils.uuid7())
    return clock.now_ms() << 80 | 7 << 76 | 2 << 62 | brought.chance.getrandbits(62)


def new_session(role: str) -> str:
    """Name one incarnation of a process role, as `worker@host:1234:9f3c2a1b`."""
    here = origin()
    return f"{role}@{here.host}:{here.pid}:{here.chance.getrandbits(32):08x}"


def new_key() -> str:
    """Make an idempotency key for a command whose caller gave none."""
    return f"{chance().getrandbits(128):032x}"


def job_id(step: str, index: int, name: str, occurrence: int, series: int) -> str:
    """Name a job after where it comes from; unique within its workflow.

    The n-th agent of one name in one task ends in `.n`; attempts that begin anew in `@n`. A job
    that is launched again after a failure gets `~n` from the script that requests it.
    """
    base = f"{step}-{index}-{name}"
    base += f".{occurrence}" if occurrence > 1 else ""
    return base + (f"@{series}" if series > 1 else "")


def digest(data: bytes) -> str:
    """Content address of a payload or definition: 32 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:32]
