"""Commands on sorted sets."""

from __future__ import annotations

import math

from .database import Database
from .keyspace import scan_of
from .table import command, syntax_error
from .values import Args, Failure, Ranking, Reply, integer, real, real_text, span

Pairs = list[tuple[float, bytes]]


@command("ZADD", 3, None, writes=True)
def zadd(db: Database, args: Args) -> Reply:
    flags: set[bytes] = set()
    place = 1
    while args[place].upper() in (b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"):
        flags.add(args[place].upper())
        place += 1
        if place == len(args):
            raise syntax_error()
    rest = args[place:]
    if len(rest) % 2:
        raise syntax_error()
    if b"NX" in flags and flags & {b"XX", b"GT", b"LT"}:
        raise Failure("ERR GT, LT, and/or NX options at the same time are not compatible")
    pairs = [(real(rest[i]), rest[i + 1]) for i in range(0, len(rest), 2)]
    if b"INCR" in flags and len(pairs) > 1:
        raise Failure("ERR INCR option supports a single increment-element pair")
    found = db.open(args[0], Ranking)
    added = changed = 0
    score: float | None = None
    for number, member in pairs:
        before = found.scores.get(member)
        score = number + (before or 0.0) if b"INCR" in flags else number
        if math.isnan(score):
            raise Failure("ERR resulting score is not a number (NaN)")
        if not _may_change(before, score, flags):
            score = None
            continue
        added += before is None
        changed += before != score
        found.put(member, score)
    if not found:
        db.drop(args[0])
    if b"INCR" in flags:
        return None if score is None else real_text(score)
    return changed if b"CH" in flags else added


def _may_change(before: float | None, score: float, flags: set[bytes]) -> bool:
    if before is None:
        return b"XX" not in flags
    return not (
        b"NX" in flags
        or (b"GT" in flags and score <= before)
        or (b"LT" in flags and score >= before)
    )


@command("ZINCRBY", 3, writes=True)
def zincrby(db: Database, args: Args) -> Reply:
    return zadd(db, [args[0], b"INCR", args[1], args[2]])


@command("ZREM", 2, None, writes=True)
def zrem(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Ranking)
    if found is None:
        return 0
    gone = sum(found.remove(member) for member in args[1:])
    if not found:
        db.drop(args[0])
    return gone


@command("ZCARD", 1)
def zcard(db: Database, args: Args) -> Reply:
    return len(db.read(args[0], Ranking))


@command("ZSCORE", 2)
def zscore(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Ranking)
    return _text(found.scores.get(args[1])) if found else None


@command("ZMSCORE", 2, None)
def zmscore(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Ranking)
    return [_text(found.scores.get(member)) if found else None for member in args[1:]]


def _text(score: float | None) -> bytes | None:
    return None if score is None else real_text(score)


@command("ZRANK", 2)
def zrank(db: Database, args: Args) -> Reply:
    found = db.find(args[0], Ranking)
    if found is None or args[1] not in found.scores:
        return None
    return found.order.index((found.scores[args[1]], args[1]))


@command("ZCOUNT", 3)
def zcount(db: Database, args: Args) -> Reply:
    begin, end = db.read(args[0], Ranking).between(args[1], args[2])
    return end - begin


class _Options:
    """What follows the bounds of a range."""

    def __init__(self, words: Args) -> None:
        self.flags: set[bytes] = set()
        self.skip, self.most = 0, -1
        words = list(words)
        while words:
            word = words.pop(0).upper()
            if word == b"LIMIT" and len(words) >= 2:
                self.skip, self.most = integer(words.pop(0)), integer(words.pop(0))
            elif word in (b"WITHSCORES", b"REV", b"BYSCORE"):
                self.flags.add(word)
            else:
                raise syntax_error()

    def reply(self, pairs: Pairs) -> Reply:
        if self.skip < 0:
            return []
        chosen = pairs[self.skip :]
        if self.most >= 0:
            chosen = chosen[: self.most]
        if b"WITHSCORES" not in self.flags:
            return [member for _, member in chosen]
        return [part for score, member in chosen for part in (member, real_text(score))]


def _by_score(db: Database, key: bytes, low: bytes, high: bytes, *, backwards: bool) -> Pairs:
    found = db.read(key, Ranking)
    begin, end = found.between(low, high)
    return found.order[begin:end][:: -1 if backwards else 1]


@command("ZRANGE", 3, None)
def zrange(db: Database, args: Args) -> Reply:
    options = _Options(args[3:])
    backwards = b"REV" in options.flags
    if b"BYSCORE" in options.flags:
        low, high = args[2:0:-1] if backwards else args[1:3]
        return options.reply(_by_score(db, args[0], low, high, backwards=backwards))
    if options.most >= 0 or options.skip:
        raise Failure(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
        )
    order = db.read(args[0], Ranking).order[:: -1 if backwards else 1]
    begin, end = span(integer(args[1]), integer(args[2]), len(order))
    return options.reply(order[begin:end])


@command("ZREVRANGE", 3, 4)
def zrevrange(db: Database, args: Args) -> Reply:
    return zrange(db, [*args, b"REV"])


@command("ZRANGEBYSCORE", 3, None)
def zrangebyscore(db: Database, args: Args) -> Reply:
    options = _Options(args[3:])
    return options.reply(_by_score(db, args[0], args[1], args[2], backwards=False))


@command("ZREVRANGEBYSCORE", 3, None)
def zrevrangebyscore(db: Database, args: Args) -> Reply:
    options = _Options(args[3:])
    return options.reply(_by_score(db, args[0], args[2], args[1], backwards=True))


def _cut(db: Database, key: bytes, pairs: Pairs) -> int:
    if pairs:
        zrem(db, [key, *(member for _, member in pairs)])
    return len(pairs)


@command("ZREMRANGEBYSCORE", 3, writes=True)
def zremrangebyscore(db: Database, args: Args) -> Reply:
    return _cut(db, args[0], _by_score(db, args[0], args[1], args[2], backwards=False))


@command("ZREMRANGEBYRANK", 3, writes=True)
def zremrangebyrank(db: Database, args: Args) -> Reply:
    order = db.read(args[0], Ranking).order
    begin, end = span(integer(args[1]), integer(args[2]), len(order))
    return _cut(db, args[0], order[begin:end])


@command("ZPOPMIN", 1, 2, writes=True)
def zpopmin(db: Database, args: Args) -> Reply:
    most = integer(args[1]) if len(args) > 1 else 1
    first = db.read(args[0], Ranking).order[:most]
    _cut(db, args[0], first)
    return [part for score, member in first for part in (member, real_text(score))]


@command("ZSCAN", 2, None)
def zscan(db: Database, args: Args) -> Reply:
    found = db.read(args[0], Ranking)
    members = scan_of((member for _, member in found.order), args[2:])
    return [b"0", [part for one in members for part in (one, real_text(found.scores[one]))]]
