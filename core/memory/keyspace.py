"""Commands on keys, whatever they hold."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from functools import cache

from .database import KINDS, Database, Value
from .streams import Stream
from .table import choose, command, syntax_error
from .values import OK, Args, Failure, Hash, Ranking, Reply, Status, integer


@command("DEL", 1, None, writes=True)
@command("UNLINK", 1, None, writes=True)
def delete(db: Database, args: Args) -> Reply:
    return sum(db.look(key) is not None and db.drop(key) is not None for key in args)


@command("EXISTS", 1, None)
@command("TOUCH", 1, None)
def exists(db: Database, args: Args) -> Reply:
    return sum(db.look(key) is not None for key in args)


@command("TYPE", 1)
def type_(db: Database, args: Args) -> Reply:
    value = db.look(args[0])
    return Status(b"none" if value is None else KINDS[type(value)])


@command("KEYS", 1)
def keys(db: Database, args: Args) -> Reply:
    return list(_matching(db.keys(), args[0]))


@command("DBSIZE")
def dbsize(db: Database, args: Args) -> Reply:
    return len(db.keys())


@command("RANDOMKEY")
def randomkey(db: Database, args: Args) -> Reply:
    return next(iter(db.keys()), None)


@command("FLUSHALL", 0, 1, writes=True)
@command("FLUSHDB", 0, 1, writes=True)
def flush(db: Database, args: Args) -> Reply:
    db.clear()
    return OK


@command("SCAN", 1, None)
def scan(db: Database, args: Args) -> Reply:
    kinds = [value for word, value in _pairs(args[1:]) if word == b"TYPE"]
    found = scan_of(db.keys(), args[1:])
    if kinds:
        found = [key for key in found if KINDS[type(db.values[key])] == kinds[0].lower()]
    return [b"0", list(found)]


def scan_of(names: Iterable[bytes], options: Args) -> list[bytes]:
    """What a scan finds: everything at once, as COUNT is but a hint."""
    patterns = [value for word, value in _pairs(options) if word == b"MATCH"]
    return _matching(names, patterns[0]) if patterns else list(names)


def _pairs(options: Args) -> list[tuple[bytes, bytes]]:
    if len(options) % 2:
        raise syntax_error()
    return [(options[i].upper(), options[i + 1]) for i in range(0, len(options), 2)]


def _matching(names: Iterable[bytes], pattern: bytes) -> list[bytes]:
    if pattern == b"*":
        return list(names)
    matches = _regex(pattern).fullmatch
    return [name for name in names if matches(name)]


@cache
def _regex(pattern: bytes) -> re.Pattern[bytes]:
    """A glob as a regular expression."""
    parts = re.findall(rb"\\.|\[\^?(?:\\.|[^]])*\]|.", pattern, re.DOTALL)
    text = b""
    for part in parts:
        if part == b"*":
            text += b".*"
        elif part == b"?":
            text += b"."
        elif len(part) > 1 and part[:1] == b"[":
            text += part
        else:
            text += re.escape(part[-1:])
    return re.compile(text, re.DOTALL)


@command("PEXPIRE", 2, None, writes=True)
def pexpire(db: Database, args: Args) -> Reply:
    return _expire(db, args, db.now + integer(args[1]))


@command("EXPIRE", 2, None, writes=True)
def expire(db: Database, args: Args) -> Reply:
    return _expire(db, args, db.now + integer(args[1]) * 1000)


@command("PEXPIREAT", 2, None, writes=True)
def pexpireat(db: Database, args: Args) -> Reply:
    return _expire(db, args, integer(args[1]))


def _expire(db: Database, args: Args, deadline: int) -> int:
    """Give a key an end; with NX, XX, GT or LT only where the one it has allows that."""
    key, flags = args[0], {word.upper() for word in args[2:]}
    if flags - {b"NX", b"XX", b"GT", b"LT"}:
        raise Failure(f"ERR Unsupported option {args[2].decode(errors='replace')}")
    if db.look(key) is None:
        return 0
    before = db.deadlines.get(key)
    if (
        (b"NX" in flags and before is not None)
        or (b"XX" in flags and before is None)
        or (b"GT" in flags and (before is None or deadline <= before))
        or (b"LT" in flags and before is not None and deadline >= before)
    ):
        return 0
    if deadline <= db.now:
        db.drop(key)
    else:
        db.deadlines[key] = deadline
    return 1


@command("PERSIST", 1, writes=True)
def persist(db: Database, args: Args) -> Reply:
    return int(db.look(args[0]) is not None and db.deadlines.pop(args[0], None) is not None)


@command("PTTL", 1)
def pttl(db: Database, args: Args) -> Reply:
    if db.look(args[0]) is None:
        return -2
    deadline = db.deadlines.get(args[0])
    return -1 if deadline is None else deadline - db.now


@command("TTL", 1)
def ttl(db: Database, args: Args) -> Reply:
    left = pttl(db, args)
    return left if not isinstance(left, int) or left < 0 else (left + 500) // 1000


@command("RENAME", 2, writes=True)
def rename(db: Database, args: Args) -> Reply:
    source, target = args
    value = db.look(source)
    if value is None:
        raise Failure("ERR no such key")
    if source == target:
        return OK
    deadline = db.deadlines.get(source)
    db.drop(source)
    _place(db, target, value, deadline)
    return OK


@command("COPY", 2, None, writes=True)
def copy_(db: Database, args: Args) -> Reply:
    if args[0] == args[1]:
        raise Failure("ERR source and destination objects are the same")
    value = db.look(args[0])
    replaces = b"REPLACE" in (word.upper() for word in args[2:])
    if value is None or (db.look(args[1]) is not None and not replaces):
        return 0
    _place(db, args[1], copy.deepcopy(value), db.deadlines.get(args[0]))
    return 1


def _place(db: Database, key: bytes, value: Value, deadline: int | None) -> None:
    db.drop(key)
    db.put(key, value)
    if deadline is not None:
        db.deadlines[key] = deadline
    if isinstance(value, Stream):
        db.stirred.append(key)


@command("MEMORY", 1, None)
def memory(db: Database, args: Args) -> Reply:
    return choose("MEMORY", args, {b"USAGE": _usage})(db, args)


def _usage(db: Database, args: Args) -> Reply:
    """About what it holds; Redis' own number depends on its encoding."""
    value = db.look(args[1])
    return None if value is None else 56 + len(args[1]) + _size(value)


def _size(value: Value) -> int:
    match value:
        case bytes():
            return len(value)
        case Hash():
            return sum(len(name) + len(held) for name, held in value.items())
        case Ranking():
            return sum(len(member) + 8 for member in value.scores)
        case Stream():
            return sum(16 + sum(map(len, fields)) for fields in value.entries.values())
        case _:
            return sum(map(len, value))


@command("OBJECT", 2)
def object_(db: Database, args: Args) -> Reply:
    return choose("OBJECT", args, {b"ENCODING": _encoding, b"REFCOUNT": _encoding})(db, args)


def _encoding(db: Database, args: Args) -> Reply:
    value = db.look(args[1])
    if value is None:
        return None
    return 1 if args[0].upper() == b"REFCOUNT" else KINDS[type(value)]
