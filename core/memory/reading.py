"""XREAD and XREADGROUP, which may wait for what comes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .database import Database
from .stream_commands import shown
from .stream_groups import read_again, read_new, reading_group
from .streams import FIRST, Id, Stream, id_text, parse_id
from .table import command, syntax_error
from .values import Args, Failure, Reply, integer

_UNBALANCED = (
    "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be "
    "specified."
)


@dataclass(frozen=True)
class Reading:
    """What is asked for."""

    keys: Args = field(default_factory=list[bytes])
    ids: Args = field(default_factory=list[bytes])
    count: int | None = None
    #: How long to wait, ms; 0: for ever, None: not at all.
    block: int | None = None
    group: bytes | None = None
    consumer: bytes = b""
    noack: bool = False

    def fixed(self, db: Database) -> Reading:
        """The same with ids in place of `$`, which means what comes from now on."""
        places = self._places(db)
        return replace(self, ids=[b">" if place is None else id_text(place) for place in places])

    def command(self) -> Args:
        """The same as a command that does not wait."""
        words = [b"XREADGROUP", b"GROUP", self.group, self.consumer] if self.group else [b"XREAD"]
        if self.count is not None:
            words += [b"COUNT", b"%d" % self.count]
        if self.noack:
            words.append(b"NOACK")
        return [*words, b"STREAMS", *self.keys, *self.ids]

    def read(self, db: Database) -> Reply:
        """Entries of streams that have some; nil when there are none."""
        found: list[Reply] = []
        for key, place in zip(self.keys, self._places(db), strict=True):
            entries = self._of_group(db, key, place) if self.group else self._new(db, key, place)
            if entries is not None:
                found.append([key, entries])
        return found or None

    def _places(self, db: Database) -> list[Id | None]:
        """Above which id each stream is read; None: what nobody in the group has read."""
        return [self._place(db, key, text) for key, text in zip(self.keys, self.ids, strict=True)]

    def _place(self, db: Database, key: bytes, text: bytes) -> Id | None:
        if self.group:
            reading_group(db, key, self.group)
            return None if text == b">" else parse_id(text)
        stream = db.read(key, Stream)
        return stream.last if text == b"$" else parse_id(text)

    def _new(self, db: Database, key: bytes, place: Id | None) -> Reply:
        stream = db.read(key, Stream)
        return shown(stream, stream.after(place or FIRST, self.count)) or None

    def _of_group(self, db: Database, key: bytes, place: Id | None) -> Reply:
        stream, group = reading_group(db, key, self.group or b"")
        if place is None:
            ids = read_new(db, stream, group, self.consumer, self.count, noack=self.noack)
            return shown(stream, ids) or None
        group.consumer(self.consumer, db.now).seen = db.now
        ids = read_again(group, self.consumer, place, self.count)
        return [
            [id_text(entry), list(fields) if (fields := stream.entries.get(entry)) else None]
            for entry in ids
        ]


def reading_of(name: bytes, args: Args) -> Reading:
    """Read the arguments of XREAD or XREADGROUP."""
    words = list(args)
    count = block = group = None
    consumer, noack = b"", False
    while words and (word := words.pop(0).upper()) != b"STREAMS":
        if word == b"COUNT" and words:
            count = integer(words.pop(0))
        elif word == b"BLOCK" and words:
            block = integer(words.pop(0), "ERR timeout is not an integer or out of range")
            if block < 0:
                raise Failure("ERR timeout is negative")
        elif word == b"GROUP" and len(words) >= 2 and name == b"XREADGROUP":
            group, consumer = words.pop(0), words.pop(0)
        elif word == b"NOACK" and name == b"XREADGROUP":
            noack = True
        else:
            raise syntax_error()
    if name == b"XREADGROUP" and group is None:
        raise Failure("ERR Missing GROUP option for XREADGROUP")
    if not words or len(words) % 2:
        raise Failure(_UNBALANCED)
    half = len(words) // 2
    most = count if count is None or count > 0 else None
    return Reading(words[:half], words[half:], most, block, group, consumer, noack)


@command("XREAD", 3, None)
def xread(db: Database, args: Args) -> Reply:
    return reading_of(b"XREAD", args).read(db)


@command("XREADGROUP", 6, None, writes=True)
def xreadgroup(db: Database, args: Args) -> Reply:
    return reading_of(b"XREADGROUP", args).read(db)
