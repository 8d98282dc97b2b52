"""What is wrong with a log as it stands: its numbers, its chain of digests, its entries.

After each finding reading goes on from what is there, so that everything is told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha1 as _sha1
from typing import Any

import msgspec

from ..core.entries import (
    FIELDS,
    REQUIRED,
    decode_entry,
    decode_usual,
    number_of,
    text_of,
    time_of,
)
from ..core.events import Recorded, Unknown, WorkflowCreated, why_unknown
from ..core.tail import Entry, entry_of

Fields = Mapping[bytes, bytes]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, in a sentence; without a version it concerns no single event."""

    version: int | None
    reason: str

    def __str__(self) -> str:
        return f"event {self.version}: {self.reason}" if self.version else self.reason


class Damage:
    """Look at the entries of a log, one after the other."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._last = 0
        self._chain = b""

    def read(self, raw: Any) -> Recorded:
        """Decode an entry as Redis answers it, and look at it; quick where it is as most are."""
        name, fields = raw
        try:
            recorded = decode_usual(name, fields)
        except ValueError:
            recorded = None
        if recorded and self._is_well(name, fields, recorded):
            self._last, self._chain = recorded.version, fields[9]
            return recorded
        return self._read_oddly(raw)

    def _is_well(self, name: bytes, fields: Any, recorded: Recorded) -> bool:
        """Whether nothing is to be said of it; True costs little, False a closer look."""
        version, cause, event = recorded.version, recorded.cause, type(recorded.event)
        whole = self._chain + fields[1] + fields[3]
        return (
            _sha1(whole, usedforsecurity=False).hexdigest()[:16] == recorded.digest
            and version == self._last + 1
            and name[-2:] == b"-0"
            and recorded.ts > 0
            and event is not Unknown
            and (cause is None or 0 < cause < version)
            and (version > 1 or event is WorkflowCreated)
        )

    def _read_oddly(self, raw: Any) -> Recorded:
        entry = entry_of(raw)
        recorded = decode_entry(entry)
        self.look(entry, recorded)
        return recorded

    def look(self, entry: Entry, recorded: Recorded) -> None:
        """Note what is wrong with an entry; `recorded` is its event."""
        self.problems += self._find(entry, recorded)
        self._last, self._chain = recorded.version, entry[1].get(b"dg", b"")

    def _find(self, entry: Entry, recorded: Recorded) -> Iterator[Problem]:
        (name, fields), version = entry, recorded.version
        if not self._last:
            yield from say_beginning(recorded)
        yield from say_gap(self._last, version)
        if not name.endswith(b"-0"):
            yield Problem(version, f"its id is {name.decode()}, expected {version}-0")
        digest = fields.get(b"dg", b"")
        if version == self._last + 1 and digest != (expected := chained(self._chain, fields)):
            yield Problem(version, _broken(digest, expected))
        yield from _say_odd(version, fields, recorded)


def chained(previous: bytes, fields: Fields) -> bytes:
    """The digest that an entry has behind one of digest `previous`."""
    whole = previous + fields.get(b"type", b"") + fields.get(b"data", b"")
    return _sha1(whole, usedforsecurity=False).hexdigest()[:16].encode()


def say_gap(last: int, version: int) -> Iterator[Problem]:
    """Version `version` comes behind version `last`."""
    if version <= last:
        yield Problem(version, f"it comes after event {last}")
    elif version == last + 2:
        yield Problem(last + 1, "it is missing")
    elif version > last + 2:
        yield Problem(last + 1, f"it and the following ones up to event {version - 1} are missing")


def say_beginning(first: Recorded) -> Iterator[Problem]:
    if not isinstance(first.event, WorkflowCreated):
        text = f"the log begins with {first.type or 'no type'}, expected workflow.created"
        yield Problem(first.version, text)


def say_unknown(recorded: Recorded) -> Iterator[Problem]:
    if isinstance(recorded.event, Unknown):
        reason = why_unknown(recorded.type, recorded.event.data, recorded.schema)
        yield Problem(recorded.version, reason)


def _broken(got: bytes, expected: bytes) -> str:
    return (
        f"its digest is {text_of(got) or 'missing'}, the events before it give "
        f"{expected.decode()}: it or one before it was changed, or the log was rolled back"
    )


def _say_odd(version: int, fields: Fields, recorded: Recorded) -> Iterator[Problem]:
    """Fields that are missing, or that are not what they should be."""
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
