"""Commands on strings."""

from __future__ import annotations

from .database import Database
from .table import command, syntax_error
from .values import OK, Args, Failure, Reply, integer


@command("GET", 1)
def get(db: Database, args: Args) -> Reply:
    return db.find(args[0], bytes)


@command("MGET", 1, None)
def mget(db: Database, args: Args) -> Reply:
    found = (db.look(key) for key in args)
    return [value if isinstance(value, bytes) else None for value in found]


#: How the time of SET is told: (ms of one, whether it counts from now).
_TIMES = {b"PX": (1, True), b"EX": (1000, True), b"PXAT": (1, False), b"EXAT": (1000, False)}


@command("SET", 2, None, writes=True)
def set_(db: Database, args: Args) -> Reply:
    key, value, *rest = args
    flags: set[bytes] = set()
    deadline: int | None = None
    while rest:
        word = rest.pop(0).upper()
        if word in _TIMES and rest and deadline is None:
            each, from_now = _TIMES[word]
            length = integer(rest.pop(0))
            if length <= 0:
                raise Failure("ERR invalid expire time in 'set' command")
            deadline = length * each + (db.now if from_now else 0)
        elif word in (b"NX", b"XX", b"KEEPTTL", b"GET"):
            flags.add(word)
        else:
            raise syntax_error()
    if {b"NX", b"XX"} <= flags or (deadline is not None and b"KEEPTTL" in flags):
        raise syntax_error()
    before = db.find(key, bytes) if b"GET" in flags else None
    there = db.look(key) is not None
    answer: Reply = before if b"GET" in flags else OK
    if (b"NX" in flags and there) or (b"XX" in flags and not there):
        return before if b"GET" in flags else None
    kept = db.deadlines.get(key) if b"KEEPTTL" in flags else deadline
    db.put(key, value)
    if kept is not None:
        db.deadlines[key] = kept
    return answer


@command("SETNX", 2, writes=True)
def setnx(db: Database, args: Args) -> Reply:
    return int(set_(db, [*args, b"NX"]) is not None)


@command("SETEX", 3, writes=True)
def setex(db: Database, args: Args) -> Reply:
    return set_(db, [args[0], args[2], b"EX", args[1]])


@command("PSETEX", 3, writes=True)
def psetex(db: Database, args: Args) -> Reply:
    return set_(db, [args[0], args[2], b"PX", args[1]])


@command("MSET", 2, None, writes=True)
def mset(db: Database, args: Args) -> Reply:
    if len(args) % 2:
        raise Failure("ERR wrong number of arguments for 'mset' command")
    for key, value in zip(args[::2], args[1::2], strict=True):
        db.put(key, value)
    return OK


@command("GETDEL", 1, writes=True)
def getdel(db: Database, args: Args) -> Reply:
    value = db.find(args[0], bytes)
    if value is not None:
        db.drop(args[0])
    return value


@command("STRLEN", 1)
def strlen(db: Database, args: Args) -> Reply:
    return len(db.read(args[0], bytes))


@command("APPEND", 2, writes=True)
def append(db: Database, args: Args) -> Reply:
    value = db.read(args[0], bytes) + args[1]
    db.values[args[0]] = value
    return len(value)


@command("INCRBY", 2, writes=True)
def incrby(db: Database, args: Args) -> Reply:
    held = db.find(args[0], bytes)
    total = integer(b"0" if held is None else held) + integer(args[1])
    if not -(2**63) <= total < 2**63:
        raise Failure("ERR increment or decrement would overflow")
    db.values[args[0]] = b"%d" % total
    return total


@command("INCR", 1, writes=True)
def incr(db: Database, args: Args) -> Reply:
    return incrby(db, [args[0], b"1"])


@command("DECR", 1, writes=True)
def decr(db: Database, args: Args) -> Reply:
    return incrby(db, [args[0], b"-1"])
