"""Commands on lists."""

from __future__ import annotations

from .database import Database
from .table import command
from .values import OK, Args, Failure, Items, Reply, integer, span


def _push(db: Database, args: Args, *, front: bool) -> int:
    found = db.open(args[0], Items)
    if front:
        found[:0] = args[:0:-1]
    else:
        found += args[1:]
    return len(found)


@command("LPUSH", 2, None, writes=True)
def lpush(db: Database, args: Args) -> Reply:
    return _push(db, args, front=True)


@command("RPUSH", 2, None, writes=True)
def rpush(db: Database, args: Args) -> Reply:
    return _push(db, args, front=False)


def _pop(db: Database, args: Args, *, front: bool) -> Reply:
    most = integer(args[1]) if len(args) > 1 else None
    if most is not None and most < 0:
        raise Failure("ERR value is out of range, must be positive")
    found = db.find(args[0], Items)
    if found is None:
        return None
    if not front:
        found.reverse()
    taken, found[: 1 if most is None else most] = found[: 1 if most is None else most], []
    if not front:
        found.reverse()
    if not found:
        db.drop(args[0])
    return taken[0] if most is None else list(taken)


@command("LPOP", 1, 2, writes=True)
def lpop(db: Database, args: Args) -> Reply:
    return _pop(db, args, front=True)


@command("RPOP", 1, 2, writes=True)
def rpop(db: Database, args: Args) -> Reply:
    return _pop(db, args, front=False)


@command("LLEN", 1)
def llen(db: Database, args: Args) -> Reply:
    return len(db.read(args[0], Items))


@command("LINDEX", 2)
def lindex(db: Database, args: Args) -> Reply:
    found, index = db.read(args[0], Items), integer(args[1])
    return found[index] if -len(found) <= index < len(found) else None


@command("LRANGE", 3)
def lrange(db: Database, args: Args) -> Reply:
    found = db.read(args[0], Items)
    begin, end = span(integer(args[1]), integer(args[2]), len(found))
    return list(found[begin:end])


@command("LSET", 3, writes=True)
def lset(db: Database, args: Args) -> Reply:
    found, index = db.find(args[0], Items), integer(args[1])
    if found is None:
        raise Failure("ERR no such key")
    if not -len(found) <= index < len(found):
        raise Failure("ERR index out of range")
    found[index] = args[2]
    return OK


@command("LTRIM", 3, writes=True)
def ltrim(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Items)
    if found is not None:
        begin, end = span(integer(args[1]), integer(args[2]), len(found))
        found[:] = found[begin:end]
        if not found:
            db.drop(args[0])
    return OK


@command("LREM", 3, writes=True)
def lrem(db: Database, args: Args) -> Reply:
    """Remove a value: so many from the front, from the back (below 0), or all (0)."""
    count = integer(args[1])
    found = db.find(args[0], Items)
    if found is None:
        return 0
    places = [i for i, value in enumerate(found) if value == args[2]]
    gone = places[count:] if count < 0 else places[: count or None]
    for place in reversed(gone):
        del found[place]
    if not found:
        db.drop(args[0])
    return len(gone)
