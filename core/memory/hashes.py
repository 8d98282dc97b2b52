"""Commands on hashes."""

from __future__ import annotations

from .database import Database
from .keyspace import scan_of
from .table import command
from .values import OK, Args, Failure, Hash, Reply, integer


@command("HGET", 2)
def hget(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Hash)
    return None if found is None else found.get(args[1])


@command("HMGET", 2, None)
def hmget(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Hash)
    if found is None:
        return [None for _ in args[1:]]
    return [found.get(field) for field in args[1:]]


@command("HGETALL", 1)
def hgetall(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Hash)
    return [part for pair in found.items() for part in pair] if found else []


@command("HSET", 3, None, writes=True)
def hset(db: Database, args: Args) -> Reply:
    if len(args) % 2 == 0:
        raise Failure("ERR wrong number of arguments for 'hset' command")
    found = db.open(args[0], Hash)
    before = len(found)
    found.update(zip(args[1::2], args[2::2], strict=True))
    return len(found) - before


@command("HMSET", 3, None, writes=True)
def hmset(db: Database, args: Args) -> Reply:
    hset(db, args)
    return OK


@command("HSETNX", 3, writes=True)
def hsetnx(db: Database, args: Args) -> Reply:
    found = db.open(args[0], Hash)
    before = len(found)
    found.setdefault(args[1], args[2])
    return len(found) - before


@command("HDEL", 2, None, writes=True)
def hdel(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Hash)
    if found is None:
        return 0
    gone = sum(found.pop(field, None) is not None for field in args[1:])
    if not found:
        db.drop(args[0])
    return gone


@command("HINCRBY", 3, writes=True)
def hincrby(db: Database, args: Args) -> Reply:
    number = integer(args[2])
    found = db.find(args[0], Hash)
    held = found.get(args[1], b"0") if found else b"0"
    total = integer(held, "ERR hash value is not an integer") + number
    if not -(2**63) <= total < 2**63:
        raise Failure("ERR increment or decrement would overflow")
    db.open(args[0], Hash)[args[1]] = b"%d" % total
    return total


@command("HEXISTS", 2)
def hexists(db: Database, args: Args) -> Reply:
    return int(args[1] in db.read(args[0], Hash))


@command("HLEN", 1)
def hlen(db: Database, args: Args) -> Reply:
    return len(db.read(args[0], Hash))


@command("HSTRLEN", 2)
def hstrlen(db: Database, args: Args) -> Reply:
    return len(db.read(args[0], Hash).get(args[1], b""))


@command("HKEYS", 1)
def hkeys(db: Database, args: Args) -> Reply:
    return list(db.read(args[0], Hash))


@command("HVALS", 1)
def hvals(db: Database, args: Args) -> Reply:
    return list(db.read(args[0], Hash).values())


@command("HSCAN", 2, None)
def hscan(db: Database, args: Args) -> Reply:
    found = db.read(args[0], Hash)
    fields = scan_of(found, args[2:])
    return [b"0", [part for field in fields for part in (field, found[field])]]
