"""Read a log as Redis holds it, without the types of events: numbers without gaps, one chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .violation import Notes

#: As `xrange` answers.
Raw = tuple[bytes, Mapping[bytes, bytes]]

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Entry(msgspec.Struct, frozen=True):
    """One entry of a log, its data as plain values. Times are ms."""

    version: int
    type: str
    data: dict[str, Any]
    ts: int
    by: str = ""
    cause: int | None = None
    digest: str = ""


def read_entries(notes: Notes, raw: Iterable[Raw]) -> list[Entry]:
    """All entries of a log; what is wrong with their numbers, digests and texts goes to the notes.

    After a gap or a broken chain reading goes on from what is there, so each is told once.
    """
    entries: list[Entry] = []
    chain = ""
    for name, fields in raw:
        expected = entries[-1].version + 1 if entries else 1
        version = _number(notes, name, expected)
        chain = _check_chain(notes, version, chain, fields)
        entries.append(_read(notes, version, fields))
    return entries


def _number(notes: Notes, name: bytes, expected: int) -> int:
    """The version that an entry's id tells."""
    version, _, rest = name.decode().partition("-")
    if rest != "0" or int(version) != expected:
        notes.say(expected, 1, f"after {expected - 1} the next entry is {name.decode()}")
    return int(version)


def _check_chain(notes: Notes, version: int, chain: str, fields: Mapping[bytes, bytes]) -> str:
    whole = chain.encode() + fields.get(b"type", b"") + fields.get(b"data", b"")
    expected = hashlib.sha1(whole, usedforsecurity=False).hexdigest()[:16]
    got = _text(fields.get(b"dg", b""))
    if got != expected:
        notes.say(version, 11, f"its digest is {got or 'missing'}, those before it give {expected}")
    return got


def _read(notes: Notes, version: int, fields: Mapping[bytes, bytes]) -> Entry:
    kind = _text(fields.get(b"type", b""))
    try:
        data = _decode(fields.get(b"data", b""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        notes.say(version, 1, f"the data of {kind or 'an entry without type'} is no JSON: {error}")
        data = {}
    cause = _integer(notes, version, b"cause", fields) if b"cause" in fields else None
    if cause is not None and not 0 < cause < version:
        notes.say(version, 1, f"{kind} names version {cause} as its cause")
    return Entry(
        version,
        kind,
        data,
        _integer(notes, version, b"ts", fields),
        _text(fields.get(b"by", b"")),
        cause,
        _text(fields.get(b"dg", b"")),
    )


def _integer(notes: Notes, version: int, name: bytes, fields: Mapping[bytes, bytes]) -> int:
    """The number in a field; 0 where it is none."""
    data = fields.get(name, b"")
    if not data.isdigit() or len(data) > 18:
        notes.say(version, 1, f"its {name.decode()} is {_text(data)!r}, which is no number")
        return 0
    return int(data)


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")
