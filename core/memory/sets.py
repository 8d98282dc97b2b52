"""Commands on sets."""

from __future__ import annotations

from .database import Database
from .keyspace import scan_of
from .table import command
from .values import Args, Members, Reply, integer


@command("SADD", 2, None, writes=True)
def sadd(db: Database, args: Args) -> Reply:
    found = db.open(args[0], Members)
    before = len(found)
    found.update(dict.fromkeys(args[1:]))
    return len(found) - before


@command("SREM", 2, None, writes=True)
def srem(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Members)
    if found is None:
        return 0
    before = len(found)
    for member in args[1:]:
        found.pop(member, None)
    if not found:
        db.drop(args[0])
    return before - len(found)


@command("SCARD", 1)
def scard(db: Database, args: Args) -> Reply:
    return len(db.read(args[0], Members))


@command("SISMEMBER", 2)
def sismember(db: Database, args: Args) -> Reply:
    return int(args[1] in db.read(args[0], Members))


@command("SMISMEMBER", 2, None)
def smismember(db: Database, args: Args) -> Reply:
    found = db.read(args[0], Members)
    return [int(member in found) for member in args[1:]]


@command("SMEMBERS", 1)
def smembers(db: Database, args: Args) -> Reply:
    return list(db.read(args[0], Members))


@command("SPOP", 1, 2, writes=True)
def spop(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Members)
    if found is None:
        return [] if len(args) > 1 else None
    most = integer(args[1]) if len(args) > 1 else 1
    taken = db.random.sample(list(found), min(most, len(found)))
    srem(db, [args[0], *taken])
    return list(taken) if len(args) > 1 else taken[0]


@command("SRANDMEMBER", 1, 2)
def srandmember(db: Database, args: Args) -> Reply:
    """Always the first ones: a read may not change what is random later."""
    found = list(db.read(args[0], Members))
    if len(args) == 1:
        return found[0] if found else None
    most = integer(args[1])
    if most < 0 and found:
        return [found[i % len(found)] for i in range(-most)]
    return list(found[:most])


@command("SSCAN", 2, None)
def sscan(db: Database, args: Args) -> Reply:
    return [b"0", list(scan_of(db.read(args[0], Members), args[2:]))]
