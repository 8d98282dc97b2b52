"""Entries of a log as Redis has them, and the events that they hold.

What is wrong with an entry shows (`projections/damage.py` says what it is), and what can be read of
it is: nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .events import Recorded, decode_event
from .tail import Entry, entry_of

#: Later times (ms) are none: calendars end.
LATEST_MS = 200_000_000_000_000
#: Fields in the order in which the scripts write them. `schema` is there when it is above 1.
FIELDS = (b"type", b"data", b"ts", b"by", b"dg", b"cause", b"schema")
#: What every entry has.
REQUIRED = FIELDS[:5]

#: Words that come again and again: types of events, names of writers.
_word = lru_cache(maxsize=4096)(bytes.decode)
#: Times: what one call of a script wrote has the same.
_time: Callable[[bytes], int] = lru_cache(maxsize=64)(int)
_UNCAUSED, _CAUSED = [*REQUIRED], [*REQUIRED, b"cause"]


def version_of(name: bytes) -> int:
    """The version that an entry's id tells."""
    return int(name.partition(b"-")[0])


def decode_entry(entry: Entry) -> Recorded:
    """The event of an entry; what its fields do not tell is 0 or empty."""
    name, fields = entry
    schema = number_of(fields.get(b"schema")) or 1
    return Recorded(
        version=version_of(name),
        ts=time_of(fields.get(b"ts")) or 0,
        event=decode_event(text_of(fields.get(b"type")), fields.get(b"data", b""), schema),
        by=text_of(fields.get(b"by")),
        cause=number_of(fields.get(b"cause")),
        digest=text_of(fields.get(b"dg")),
        schema=schema,
    )


def decode_raw(raw: Any) -> Recorded:
    """As `decode_entry`, from what Redis answers; quick where the fields are in our order."""
    name, fields = raw
    try:
        return decode_usual(name, fields) or decode_entry(entry_of(raw))
    except ValueError:
        return decode_entry(entry_of(raw))


def decode_usual(name: bytes, fields: Any) -> Recorded | None:
    """The event of an entry as Redis answers it; None when it has not just the usual fields.

    Raises ValueError where a number is none.
    """
    names = fields[::2]
    if names == _CAUSED:
        cause = int(fields[11])
    elif names == _UNCAUSED:
        cause = None
    else:
        return None
    ts = _time(fields[5])
    if ts > LATEST_MS:
        raise ValueError(ts)
    return Recorded(
        int(name[:-2]),
        ts,
        decode_event(_word(fields[1]), fields[3]),
        _word(fields[7]),
        cause,
        fields[9].decode(),
    )


def number_of(data: bytes | None) -> int | None:
    """A number of 1 to 18 digits, such as versions are."""
    return int(data) if data and len(data) <= 18 and data.isdigit() else None


def time_of(data: bytes | None) -> int | None:
    """Milliseconds since the epoch, at which a calendar has a date."""
    ms = number_of(data)
    return ms if ms is not None and ms <= LATEST_MS else None


def text_of(data: bytes | None) -> str:
    return (data or b"").decode(errors="backslashreplace")
