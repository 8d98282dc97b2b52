"""Streams: entries under growing ids, and the groups that read them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from .values import Args, Failure

Id = tuple[int, int]
FIRST: Id = (0, 0)
LAST: Id = (2**64 - 1, 2**64 - 1)
INVALID = "ERR Invalid stream ID specified as stream command argument"


@dataclass
class Pending:
    """An entry that a consumer has and has not acknowledged."""

    consumer: bytes
    delivered: int
    count: int = 1


@dataclass
class Consumer:
    #: When it last asked, and last got something, ms.
    seen: int
    active: int = -1


@dataclass
class Group:
    last: Id
    #: Entries read so far; None: nobody can tell.
    read: int | None
    consumers: dict[bytes, Consumer] = field(default_factory=dict[bytes, Consumer])
    pending: dict[Id, Pending] = field(default_factory=dict[Id, Pending])

    def consumer(self, name: bytes, now: int) -> Consumer:
        return self.consumers.setdefault(name, Consumer(now))


class Stream:
    def __init__(self) -> None:
        self.ids: list[Id] = []
        self.entries: dict[Id, Args] = {}
        self.last: Id = FIRST
        self.max_deleted: Id = FIRST
        self.added = 0
        self.groups: dict[bytes, Group] = {}

    def add(self, wanted: bytes, fields: Args, now: int) -> Id:
        """Append an entry. Fails when its id is not above all others."""
        new = self._new_id(wanted, now)
        if new == FIRST:
            raise Failure("ERR The ID specified in XADD must be greater than 0-0")
        if new <= self.last:
            raise Failure(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
            )
        self.ids.append(new)
        self.entries[new] = fields
        self.last = new
        self.added += 1
        return new

    def _new_id(self, wanted: bytes, now: int) -> Id:
        last_ms, last_sequence = self.last
        if wanted == b"*":
            return (now, 0) if now > last_ms else _next(self.last)
        if wanted.endswith(b"-*"):
            ms = parse_id(wanted[:-2])[0]
            return (ms, last_sequence + 1) if ms == last_ms else (ms, 0)
        return parse_id(wanted)

    def between(self, low: Id, high: Id) -> list[Id]:
        return self.ids[bisect_left(self.ids, low) : bisect_right(self.ids, high)]

    def after(self, last: Id, most: int | None) -> list[Id]:
        begin = bisect_right(self.ids, last)
        return self.ids[begin : None if most is None else begin + most]

    def delete(self, entry: Id) -> bool:
        if entry not in self.entries:
            return False
        del self.entries[entry]
        del self.ids[bisect_left(self.ids, entry)]
        self.max_deleted = max(self.max_deleted, entry)
        return True

    def cut(self, number: int) -> int:
        """Remove the oldest entries."""
        gone = self.ids[: max(number, 0)]
        del self.ids[: len(gone)]
        for entry in gone:
            del self.entries[entry]
        return len(gone)

    def read_up_to(self, entry: Id) -> int | None:
        """How many entries were ever added up to this one; None when nobody can tell."""
        if entry == self.last or (not self.ids and entry < self.last):
            return self.added
        if entry > self.last or (entry != FIRST and entry < self.max_deleted) or not self.ids:
            return None if self.added else 0
        if self.max_deleted < self.ids[0]:
            if entry < self.ids[0]:
                return self.added - len(self.ids)
            if entry == self.ids[0]:
                return self.added - len(self.ids) + 1
        return None

    def lag(self, group: Group) -> int | None:
        """Entries that a group has yet to read; None when nobody can tell."""
        if not self.added:
            return 0
        has_holes = bool(self.ids) and self.max_deleted > group.last >= FIRST != self.max_deleted
        read = group.read
        if read is None or (has_holes and self.max_deleted >= self.ids[0]):
            read = self.read_up_to(group.last)
        return None if read is None else self.added - read


def _next(entry: Id) -> Id:
    ms, sequence = entry
    return (ms, sequence + 1) if sequence < LAST[1] else (ms + 1, 0)


def _previous(entry: Id) -> Id:
    ms, sequence = entry
    return (ms, sequence - 1) if sequence else (ms - 1, LAST[1])


def parse_id(text: bytes, missing: int = 0) -> Id:
    """An id as written; `missing` is its second part when that is not given."""
    ms, dash, sequence = text.partition(b"-")
    if not ms.isdigit() or (dash and not sequence.isdigit()) or max(len(ms), len(sequence)) > 20:
        raise Failure(INVALID)
    entry = (int(ms), int(sequence) if dash else missing)
    if max(entry) > LAST[0]:
        raise Failure(INVALID)
    return entry


def lowest(text: bytes) -> Id:
    """Where a range begins; `(` excludes."""
    if text in (b"-", b"+"):
        return FIRST if text == b"-" else LAST
    if not text.startswith(b"("):
        return parse_id(text)
    entry = parse_id(text[1:])
    if entry == LAST:
        raise Failure("ERR invalid start ID for the interval")
    return _next(entry)


def highest(text: bytes) -> Id:
    """Where a range ends; `(` excludes."""
    if text in (b"-", b"+"):
        return FIRST if text == b"-" else LAST
    if not text.startswith(b"("):
        return parse_id(text, LAST[1])
    entry = parse_id(text[1:], LAST[1])
    if entry == FIRST:
        raise Failure("ERR invalid end ID for the interval")
    return _previous(entry)


def no_such_group(key: bytes, name: bytes) -> Failure:
    key_text, name_text = key.decode(errors="replace"), name.decode(errors="replace")
    return Failure(f"NOGROUP No such consumer group '{name_text}' for key name '{key_text}'")


def id_text(entry: Id) -> bytes:
    return b"%d-%d" % entry
