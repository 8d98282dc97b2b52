"""XREAD and XREADGROUP, which may wait for what comes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .database import Database
from .stream_commands import shown
from .stream_groups import position, read_again, read_new, reading_group
from .streams import Stream, id_text, parse_id
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
        ids = [
            id_text(_last(db, key)) if entry == b"$" else entry
            for key, entry in zip(self.keys, self.ids, strict=True)
        ]
        return replace(self, ids=ids)

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
        for key, entry in zip(self.keys, self.ids, strict=True):
            if self.group is None:
                entries = self._of_stream(db, key, entry)
            else:
                entries = self._of_group(db, key, entry, self.group)
            if entries is not None:
                found.append([key, entries])
        return found or None

    def _of_stream(self, db: Database, key: bytes, entry: bytes) -> Reply:
        stream = db.find(key, Stream)
        if stream is None or entry == b"$":
            return None
        if entry == b"+":
            return shown(stream, stream.ids[-1:]) if stream.ids else None
        ids = stream.after(parse_id(entry), self.count)
        return shown(stream, ids) if ids else None

    def _of_group(self, db: Database, key: bytes, entry: bytes, group_name: bytes) -> Reply:
        stream, group = reading_group(db, key, group_name)
        after = position(entry)
        if after is None:
            ids = read_new(db, stream, group, self.consumer, self.count, noack=self.noack)
            return shown(stream, ids) if ids else None
        group.consumer(self.consumer, db.now).seen = db.now
        ids = read_again(group, self.consumer, after, self.count)
        return [
            [id_text(entry), list(fields) if (fields := stream.entries.get(entry)) else None]
            for entry in ids
        ]


def _last(db: Database, key: bytes) -> tuple[int, int]:
    stream = db.find(key, Stream)
    return stream.last if stream else (0, 0)


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
