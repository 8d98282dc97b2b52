"""What is wrong with a log as it stands: its numbers, its chain of digests, its entries.

After each finding reading goes on from what is there, so that everything is told once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ..core.entries import FIELDS, REQUIRED, number_of, text_of, time_of
from ..core.events import Recorded, Unknown, WorkflowCreated, why_unknown
from ..core.tail import Entry

Fields = Mapping[bytes, bytes]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, in a sentence; without a version it concerns no single event."""

    version: int | None
    reason: str

    def __str__(self) -> str:
        return f"event {self.version}: {self.reason}" if self.version else self.reason


def find_damage(entries: Sequence[Entry], events: Sequence[Recorded]) -> list[Problem]:
    """`events` are those of the entries."""
    return [*_find(entries, events)]


def _find(entries: Sequence[Entry], events: Sequence[Recorded]) -> Iterator[Problem]:
    last, chain = 0, b""
    for (name, fields), recorded in zip(entries, events, strict=True):
        version = recorded.version
        yield from say_gap(last, version)
        if not name.endswith(b"-0"):
            yield Problem(version, f"its id is {name.decode()}, expected {version}-0")
        digest = fields.get(b"dg", b"")
        if version == last + 1 and digest != (expected := chained(chain, fields)):
            yield Problem(version, _broken(digest, expected))
        if _is_odd(fields, recorded):
            yield from _odd(version, fields, recorded)
        last, chain = version, digest
    yield from say_beginning(events)


def chained(previous: bytes, fields: Fields) -> bytes:
    """The digest that an entry has behind one of digest `previous`."""
    whole = previous + fields.get(b"type", b"") + fields.get(b"data", b"")
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()[:16].encode()


def say_gap(last: int, version: int) -> Iterator[Problem]:
    """Version `version` comes behind version `last`."""
    if version <= last:
        yield Problem(version, f"it comes after event {last}")
    elif version == last + 2:
        yield Problem(last + 1, "it is missing")
    elif version > last + 2:
        yield Problem(last + 1, f"it and the following ones up to event {version - 1} are missing")


def say_beginning(events: Sequence[Recorded]) -> Iterator[Problem]:
    if events and not isinstance(events[0].event, WorkflowCreated):
        first = events[0]
        text = f"the log begins with {first.type or 'no type'}, expected workflow.created"
        yield Problem(first.version, text)


def say_unknown(recorded: Recorded) -> Iterator[Problem]:
    if isinstance(recorded.event, Unknown):
        reason = why_unknown(recorded.type, recorded.event.data, recorded.schema)
        yield Problem(recorded.version, reason)


def _is_odd(fields: Fields, recorded: Recorded) -> bool:
    """Whether the entry has other fields than most have, or an event that is not known."""
    usual = len(fields) == len(REQUIRED) or (len(fields) == len(REQUIRED) + 1 and recorded.cause)
    return not (usual and recorded.ts and recorded.by and type(recorded.event) is not Unknown)


def _broken(got: bytes, expected: bytes) -> str:
    return (
        f"its digest is {text_of(got) or 'missing'}, the events before it give "
        f"{expected.decode()}: it or one before it was changed, or the log was rolled back"
    )


def _odd(version: int, fields: Fields, recorded: Recorded) -> Iterator[Problem]:
    """An entry that is not as most are; that need not be wrong."""
    if lacking := [one.decode() for one in REQUIRED if one not in fields and one != b"dg"]:
        yield Problem(version, f"it has no {' and no '.join(lacking)}")
    if b"ts" in fields and time_of(fields[b"ts"]) is None:
        yield Problem(version, f"its time is {text_of(fields[b'ts'])!r}, expected milliseconds")
    if b"type" in fields:
        yield from say_unknown(recorded)
    cause = fields.get(b"cause")
    if cause is not None and not 0 < (number_of(cause) or 0) < version:
        yield Problem(version, f"its cause is {text_of(cause)!r}, expected an earlier event")
    if b"schema" in fields and number_of(fields[b"schema"]) is None:
        yield Problem(version, f"its schema is {text_of(fields[b'schema'])!r}, expected a number")


def canonical(fields: Fields) -> dict[bytes, bytes]:
    """The fields in the order in which the scripts write them, those of others at the end."""
    known = {name: fields[name] for name in FIELDS if name in fields}
    return known | {name: fields[name] for name in sorted(fields) if name not in known}
