"""Commands on the groups of a stream."""

from __future__ import annotations

from .database import Database
from .streams import (
    FIRST,
    Group,
    Id,
    Pending,
    Stream,
    highest,
    id_text,
    lowest,
    no_such_group,
    parse_id,
)
from .table import choose, command, syntax_error
from .values import OK, Args, Failure, Reply, integer

_NO_KEY = (
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use "
    "the MKSTREAM option to create an empty stream automatically."
)


@command("XGROUP", 3, None, writes=True)
def xgroup(db: Database, args: Args) -> Reply:
    choices = {
        b"CREATE": _create,
        b"SETID": _set_id,
        b"DESTROY": _destroy,
        b"CREATECONSUMER": _create_consumer,
        b"DELCONSUMER": _delete_consumer,
    }
    return choose("XGROUP", args, choices)(db, args)


def _create(db: Database, args: Args) -> Reply:
    _, key, name, start, *options = args
    words = [word.upper() for word in options]
    stream = db.find(key, Stream)
    read = _entries_read(words)
    if stream is None:
        if b"MKSTREAM" not in words:
            raise Failure(_NO_KEY)
        stream = db.open(key, Stream)
    last = stream.last if start == b"$" else parse_id(start)
    if name in stream.groups:
        raise Failure("BUSYGROUP Consumer Group name already exists")
    stream.groups[name] = Group(last, read)
    return OK


def _entries_read(words: Args) -> int | None:
    if b"ENTRIESREAD" not in words:
        return None
    number = integer(words[words.index(b"ENTRIESREAD") + 1])
    return None if number < 0 else number


def _set_id(db: Database, args: Args) -> Reply:
    _, key, name, start, *options = args
    stream, group = _group(db, key, name)
    group.last = stream.last if start == b"$" else parse_id(start)
    group.read = _entries_read([word.upper() for word in options])
    return OK


def _destroy(db: Database, args: Args) -> Reply:
    stream = db.find(args[1], Stream)
    if stream is None:
        raise Failure(_NO_KEY)
    db.stirred.append(args[1])
    return int(stream.groups.pop(args[2], None) is not None)


def _create_consumer(db: Database, args: Args) -> Reply:
    _, group = _group(db, args[1], args[2])
    before = len(group.consumers)
    group.consumer(args[3], db.now)
    return len(group.consumers) - before


def _delete_consumer(db: Database, args: Args) -> Reply:
    _, group = _group(db, args[1], args[2])
    mine = [entry for entry, one in group.pending.items() if one.consumer == args[3]]
    for entry in mine:
        del group.pending[entry]
    group.consumers.pop(args[3], None)
    return len(mine)


def _group(db: Database, key: bytes, name: bytes) -> tuple[Stream, Group]:
    stream = db.find(key, Stream)
    if stream is None:
        raise Failure(_NO_KEY)
    if name not in stream.groups:
        raise no_such_group(key, name)
    return stream, stream.groups[name]


def reading_group(db: Database, key: bytes, name: bytes) -> tuple[Stream, Group]:
    """As of commands that read: they tell a missing key and a missing group alike."""
    stream = db.find(key, Stream)
    if stream is None or name not in stream.groups:
        raise Failure(f"NOGROUP No such key '{key.decode()}' or consumer group '{name.decode()}'")
    return stream, stream.groups[name]


def read_new(
    db: Database, stream: Stream, group: Group, consumer: bytes, most: int | None, *, noack: bool
) -> list[Id]:
    """Hand the next entries to a consumer."""
    reader = group.consumer(consumer, db.now)
    reader.seen = db.now
    ids = stream.after(group.last, most)
    if not ids:
        return ids
    reader.active = db.now
    for entry in ids:
        read = group.read
        in_step = read is not None and not (stream.ids and group.last < stream.max_deleted)
        group.read = read + 1 if in_step and read is not None else stream.read_up_to(entry)
        group.last = entry
        if not noack:
            group.pending[entry] = Pending(consumer, db.now)
    return ids


def read_again(group: Group, consumer: bytes, after: Id, most: int | None) -> list[Id]:
    """What a consumer has and has not acknowledged."""
    mine = sorted(entry for entry, one in group.pending.items() if one.consumer == consumer)
    return [entry for entry in mine if entry > after][:most]


@command("XACK", 3, None, writes=True)
def xack(db: Database, args: Args) -> Reply:
    group = db.read(args[0], Stream).groups.get(args[1])
    if group is None:
        return 0
    ids = [parse_id(text) for text in args[2:]]
    return sum(group.pending.pop(entry, None) is not None for entry in ids)


@command("XPENDING", 2, None)
def xpending(db: Database, args: Args) -> Reply:
    _, group = reading_group(db, args[0], args[1])
    words = args[2:]
    if not words:
        return _summary(group)
    idle = 0
    if words[0].upper() == b"IDLE" and len(words) > 1:
        idle = integer(words[1])
        words = words[2:]
    if len(words) not in (3, 4):
        raise syntax_error()
    first, last, most = lowest(words[0]), highest(words[1]), integer(words[2])
    wanted = [
        (entry, one)
        for entry, one in sorted(group.pending.items(), key=lambda item: item[0])
        if first <= entry <= last
        and db.now - one.delivered >= idle
        and (len(words) == 3 or one.consumer == words[3])
    ]
    return [
        [id_text(entry), one.consumer, db.now - one.delivered, one.count]
        for entry, one in wanted[: max(most, 0)]
    ]


def _summary(group: Group) -> Reply:
    if not group.pending:
        return [0, None, None, None]
    counts: dict[bytes, int] = {}
    for one in group.pending.values():
        counts[one.consumer] = counts.get(one.consumer, 0) + 1
    each: list[Reply] = [[name, b"%d" % number] for name, number in sorted(counts.items())]
    return [len(group.pending), id_text(min(group.pending)), id_text(max(group.pending)), each]


@command("XCLAIM", 5, None, writes=True)
def xclaim(db: Database, args: Args) -> Reply:
    key, name, consumer, least_idle, *words = args
    stream, group = reading_group(db, key, name)
    group.consumer(consumer, db.now).seen = db.now
    options = {word.upper() for word in words if not word[:1].isdigit()}
    if options - {b"JUSTID"}:
        raise syntax_error()
    taken: list[Id] = []
    for entry in (parse_id(word) for word in words if word[:1].isdigit()):
        one = group.pending.get(entry)
        if one is None or db.now - one.delivered < integer(least_idle):
            continue
        if entry not in stream.entries:
            del group.pending[entry]
            continue
        one.consumer, one.delivered = consumer, db.now
        one.count += b"JUSTID" not in options
        taken.append(entry)
    return [_claimed(stream, entry, names_only=b"JUSTID" in options) for entry in taken]


@command("XAUTOCLAIM", 5, None, writes=True)
def xautoclaim(db: Database, args: Args) -> Reply:
    key, name, consumer, least_idle, start, *words = args
    stream, group = reading_group(db, key, name)
    most = integer(words[1]) if words and words[0].upper() == b"COUNT" else 100
    names_only = b"JUSTID" in (word.upper() for word in words)
    idle = [
        entry
        for entry, one in sorted(group.pending.items(), key=lambda item: item[0])
        if entry >= lowest(start) and db.now - one.delivered >= integer(least_idle)
    ]
    chosen, rest = idle[:most], idle[most:]
    gone = [entry for entry in chosen if entry not in stream.entries]
    xclaim(db, [key, name, consumer, least_idle, *map(id_text, chosen)])
    kept = [entry for entry in chosen if entry in group.pending]
    return [
        id_text(rest[0] if rest else FIRST),
        [_claimed(stream, entry, names_only=names_only) for entry in kept],
        [id_text(entry) for entry in gone],
    ]


def _claimed(stream: Stream, entry: Id, *, names_only: bool) -> Reply:
    return id_text(entry) if names_only else [id_text(entry), list(stream.entries[entry])]
