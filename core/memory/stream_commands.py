"""Commands on streams."""

from __future__ import annotations

from bisect import bisect_left

from .database import Database
from .streams import FIRST, Group, Id, Stream, highest, id_text, lowest, no_such_group, parse_id
from .table import choose, command, syntax_error
from .values import OK, Args, Failure, Reply, integer


def shown(stream: Stream, ids: list[Id]) -> list[Reply]:
    """Entries as commands answer them."""
    return [[id_text(entry), list(stream.entries[entry])] for entry in ids]


class _Trim:
    """MAXLEN or MINID, with a threshold. `~` cuts as exactly as `=`, which Redis may."""

    def __init__(self, words: list[bytes]) -> None:
        """Take the words off the front."""
        self._length: int | None = None
        self._first = FIRST
        self._most: int | None = None
        kind = words.pop(0).upper()
        about = bool(words) and words[0] in (b"~", b"=") and words.pop(0) == b"~"
        if not words:
            raise syntax_error()
        if kind == b"MINID":
            self._first = parse_id(words.pop(0))
        else:
            self._length = integer(words.pop(0))
            if self._length < 0:
                raise Failure("ERR The MAXLEN argument must be >= 0.")
        if len(words) >= 2 and words[0].upper() == b"LIMIT":
            if not about:
                raise Failure("ERR syntax error, LIMIT cannot be used without the special ~ option")
            self._most = integer(words[1]) or None
            del words[:2]

    def cut(self, stream: Stream) -> int:
        if self._length is None:
            surplus = bisect_left(stream.ids, self._first)
        else:
            surplus = len(stream.ids) - self._length
        return stream.cut(surplus if self._most is None else min(surplus, self._most))


@command("XADD", 4, None, writes=True)
def xadd(db: Database, args: Args) -> Reply:
    key, words = args[0], list(args[1:])
    makes, trim = True, None
    while words and (word := words[0].upper()) in (b"NOMKSTREAM", b"MAXLEN", b"MINID"):
        if word == b"NOMKSTREAM":
            makes = False
            words.pop(0)
        else:
            trim = _Trim(words)
    if len(words) < 3 or len(words) % 2 == 0:
        raise Failure("ERR wrong number of arguments for 'xadd' command")
    stream = db.find(key, Stream)
    found = stream or Stream()
    entry = found.add(words[0], words[1:], db.now)
    if stream is None and not makes:
        return None
    if stream is None:
        db.put(key, found)
    if trim:
        trim.cut(found)
    db.stirred.append(key)
    return id_text(entry)


@command("XTRIM", 3, None, writes=True)
def xtrim(db: Database, args: Args) -> Reply:
    words = list(args[1:])
    if words[0].upper() not in (b"MAXLEN", b"MINID"):
        raise syntax_error()
    trim = _Trim(words)
    if words:
        raise syntax_error()
    stream = db.find(args[0], Stream)
    return 0 if stream is None else trim.cut(stream)


@command("XDEL", 2, None, writes=True)
def xdel(db: Database, args: Args) -> Reply:
    stream = db.find(args[0], Stream)
    if stream is None:
        return 0
    ids = [parse_id(text) for text in args[1:]]
    return sum(stream.delete(entry) for entry in ids)


@command("XLEN", 1)
def xlen(db: Database, args: Args) -> Reply:
    stream = db.find(args[0], Stream)
    return len(stream.ids) if stream else 0


def _range(db: Database, args: Args, low: bytes, high: bytes, *, backwards: bool) -> Reply:
    most: int | None = None
    if len(args) > 3:
        if len(args) != 5 or args[3].upper() != b"COUNT":
            raise syntax_error()
        most = integer(args[4])
    first, last = lowest(low), highest(high)
    stream = db.find(args[0], Stream)
    if stream is None:
        return []
    if most is not None and most <= 0:
        return None
    ids = stream.between(first, last)[:: -1 if backwards else 1]
    return shown(stream, ids if most is None else ids[:most])


@command("XRANGE", 3, 5)
def xrange(db: Database, args: Args) -> Reply:
    return _range(db, args, args[1], args[2], backwards=False)


@command("XREVRANGE", 3, 5)
def xrevrange(db: Database, args: Args) -> Reply:
    return _range(db, args, args[2], args[1], backwards=True)


@command("XSETID", 2, None, writes=True)
def xsetid(db: Database, args: Args) -> Reply:
    stream = db.find(args[0], Stream)
    if stream is None:
        raise Failure("ERR no such key")
    last = parse_id(args[1])
    if stream.ids and last < stream.ids[-1]:
        raise Failure("ERR The ID specified in XSETID is smaller than the target stream top item")
    stream.last = last
    return OK


@command("XINFO", 2, None)
def xinfo(db: Database, args: Args) -> Reply:
    choices = {b"STREAM": _info_of_stream, b"GROUPS": _info_of_groups, b"CONSUMERS": _consumers}
    return choose("XINFO", args, choices)(db, args)


def _stream(db: Database, key: bytes) -> Stream:
    stream = db.find(key, Stream)
    if stream is None:
        raise Failure("ERR no such key")
    return stream


def _info_of_stream(db: Database, args: Args) -> Reply:
    stream = _stream(db, args[1])
    ends = shown(stream, stream.ids[:1] + stream.ids[-1:])
    first, last = (ends[0], ends[-1]) if ends else (None, None)
    facts: dict[bytes, Reply] = {
        b"length": len(stream.ids),
        b"radix-tree-keys": 1,
        b"radix-tree-nodes": 2,
        b"last-generated-id": id_text(stream.last),
        b"max-deleted-entry-id": id_text(stream.max_deleted),
        b"entries-added": stream.added,
        b"recorded-first-entry-id": id_text(stream.ids[0] if stream.ids else FIRST),
        b"groups": len(stream.groups),
        b"first-entry": first,
        b"last-entry": last,
    }
    return _flat(facts)


def _info_of_groups(db: Database, args: Args) -> Reply:
    stream = _stream(db, args[1])
    return [_info_of_group(stream, name, group) for name, group in sorted(stream.groups.items())]


def _info_of_group(stream: Stream, name: bytes, group: Group) -> Reply:
    facts: dict[bytes, Reply] = {
        b"name": name,
        b"consumers": len(group.consumers),
        b"pending": len(group.pending),
        b"last-delivered-id": id_text(group.last),
        b"entries-read": group.read,
        b"lag": stream.lag(group),
    }
    return _flat(facts)


def _consumers(db: Database, args: Args) -> Reply:
    stream = _stream(db, args[1])
    group = stream.groups.get(args[2])
    if group is None:
        raise no_such_group(args[1], args[2])
    found: list[Reply] = []
    for name, consumer in sorted(group.consumers.items()):
        facts: dict[bytes, Reply] = {
            b"name": name,
            b"pending": sum(one.consumer == name for one in group.pending.values()),
            b"idle": db.now - consumer.seen,
            b"inactive": db.now - consumer.active if consumer.active >= 0 else -1,
        }
        found.append(_flat(facts))
    return found


def _flat(facts: dict[bytes, Reply]) -> Reply:
    return [part for pair in facts.items() for part in pair]
