"""Any commands in any order: the Redis in memory answers as each Redis here, and holds the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import exceptions

from agentainer_flow.core.memory import serve
from agentainer_flow.core.wire import Wire

Command = tuple[bytes, ...]

#: Commands as those of this project are; small words stand for what PLACES has.
TEMPLATES = """
GET k | SET k v | SET k v NX | SET k v XX | SET k v PX 100000 | SET k v KEEPTTL | SET k v GET
SETNX k v | MGET k k | GETDEL k | STRLEN k | APPEND k v | INCR k | INCRBY k n | DECR k | DEL k
DEL k k | UNLINK k | EXISTS k k | TYPE k | RENAME k k | COPY k k | COPY k k REPLACE | DBSIZE
PEXPIRE k 100000 | PEXPIRE k 0 | PEXPIRE k -1 | EXPIRE k 100 | PEXPIRE k 200000 GT
PEXPIRE k 100000 NX | PERSIST k | PTTL k | TTL k | KEYS k | KEYS * | KEYS k[1-2]
SCAN 0 MATCH k* COUNT 10 | SCAN 0 TYPE hash | HGET k m | HMGET k m m | HGETALL k | HSET k m v
HSET k m v m v | HSETNX k m v | HDEL k m m | HINCRBY k m n | HEXISTS k m | HLEN k | HKEYS k
HVALS k | HSCAN k 0 | LPUSH k v v
RPUSH k v v | LPOP k | LPOP k n | RPOP k | RPOP k 2 | LLEN k | LINDEX k n | LRANGE k n n
LRANGE k 0 -1 | LREM k n v | LTRIM k n n | LSET k n v | SADD k m m | SREM k m m | SCARD k
SISMEMBER k m | SMISMEMBER k m m | SMEMBERS k | SSCAN k 0 | ZADD k s m s m | ZADD k NX s m
ZADD k XX CH s m | ZADD k GT s m | ZADD k INCR s m | ZINCRBY k s m | ZREM k m m | ZCARD k
ZSCORE k m | ZMSCORE k m m | ZRANK k m | ZCOUNT k b b | ZRANGE k n n | ZRANGE k 0 -1 WITHSCORES
ZRANGE k n n REV | ZRANGE k b b BYSCORE LIMIT 0 2 | ZRANGE k b b BYSCORE REV WITHSCORES
ZRANGEBYSCORE k b b | ZRANGEBYSCORE k -inf b WITHSCORES LIMIT 0 2
ZREVRANGEBYSCORE k b b WITHSCORES LIMIT n 2 | ZREMRANGEBYSCORE k b b | ZREMRANGEBYRANK k n n
ZPOPMIN k | XADD k i m v | XADD k i m v m v | XADD k NOMKSTREAM i m v | XADD k MAXLEN 2 i m v
XADD k MINID i i m v | XADD k MAXLEN ~ 3 i m v | XADD k 5-* m v | XLEN k | XRANGE k - +
XRANGE k r r | XRANGE k r + COUNT n | XREVRANGE k + - COUNT 1 | XREVRANGE k r r | XDEL k i i
XTRIM k MAXLEN n | XTRIM k MINID ~ i | XREAD COUNT 2 STREAMS k i | XREAD STREAMS k k i $
XINFO STREAM k | XGROUP CREATE k g $ | XGROUP CREATE k g 0 MKSTREAM | XGROUP CREATE k g i
XGROUP SETID k g i | XGROUP DESTROY k g | XGROUP CREATECONSUMER k g c | XGROUP DELCONSUMER k g c
XREADGROUP GROUP g c COUNT 2 STREAMS k > | XREADGROUP GROUP g c STREAMS k i
XREADGROUP GROUP g c NOACK STREAMS k > | XACK k g i i | XPENDING k g | XPENDING k g - + 10
XPENDING k g r + 2 c | XCLAIM k g c 0 i | XAUTOCLAIM k g c 0 0 COUNT 2 | XINFO GROUPS k
XINFO CONSUMERS k g | MEMORY USAGE k | FLUSHALL | GET | HSET k m | ZADD k s | XADD k i m
NONSENSE k | XGROUP NONSENSE k g
"""
PLACES = {
    b"k": st.sampled_from([b"k1", b"k2", b"k3"]),
    b"m": st.sampled_from([b"a", b"b", b"c"]),
    b"v": st.sampled_from([b"", b"1", b"-3", b"9", b"1.5", b"a", b"\x00\xff", b"x" * 100]),
    b"n": st.sampled_from([b"0", b"1", b"2", b"-1", b"-2"]),
    b"s": st.sampled_from([b"0", b"1", b"2.5", b"-1", b"inf", b"1796000000000"]),
    b"b": st.sampled_from([b"-inf", b"+inf", b"0", b"1", b"(1", b"2.5", b"(2.5"]),
    b"i": st.sampled_from([b"0", b"1", b"2-1", b"3", b"4-4", b"5", b"6-0"]),
    b"r": st.sampled_from([b"-", b"+", b"1", b"2-1", b"(2-1", b"(3", b"5"]),
    b"g": st.sampled_from([b"g", b"h"]),
    b"c": st.sampled_from([b"c", b"d"]),
}


def _commands() -> Iterator[st.SearchStrategy[Command]]:
    for template in re.split(r"[|\n]", TEMPLATES.strip()):
        words = template.encode().split()
        yield st.tuples(*(PLACES.get(word, st.just(word)) for word in words))


commands = st.lists(st.one_of(list(_commands())), min_size=1, max_size=30)

#: Whose answers come in no order.
UNORDERED = (b"SMEMBERS", b"KEYS", b"SCAN", b"HGETALL", b"HKEYS", b"HVALS", b"HSCAN", b"SSCAN")
#: Whose answers have times, or what depends on how Redis stores things.
VAGUE = (b"PTTL", b"TTL", b"MEMORY")
#: Facts of XINFO with what is said of how a stream is stored, and of consumers, when they came.
STORED = (b"radix-tree-keys", b"radix-tree-nodes", b"idle", b"inactive")


async def ask(wire: Wire, command: Command) -> Any:
    try:
        answer = await wire.call(*command)
    except exceptions.ResponseError as error:
        return type(error)  # which of several problems is told is not the same in all versions
    if command[0] in VAGUE and isinstance(answer, int):
        return min(answer, 0)
    if command[0] in UNORDERED:
        return _sorted(answer)
    if command[0] == b"XINFO":
        return [_facts(one) for one in ([answer] if command[1] == b"STREAM" else answer)]
    if command[0] == b"XPENDING":
        return _without_times(answer)
    return _numbers(answer)


def _sorted(answer: Any) -> Any:
    """Nested lists in an order that they all have."""
    return sorted(map(_sorted, cast(Any, answer)), key=repr) if isinstance(answer, list) else answer


def _facts(answer: list[Any]) -> dict[bytes, Any]:
    facts = dict(zip(answer[::2], answer[1::2], strict=True))
    return {name: value for name, value in facts.items() if name not in STORED}


def _without_times(answer: Any) -> Any:
    """Of entries that are pending: id, consumer, how long it has been, how often it was given."""
    if answer and isinstance(answer[0], list):
        return [[name, consumer, times] for name, consumer, _, times in answer]
    return answer


def _numbers(answer: Any) -> Any:
    """Scores by what they are: versions of Redis write them differently."""
    if isinstance(answer, list):
        return list(map(_numbers, cast(Any, answer)))
    try:
        return float(answer)
    except (TypeError, ValueError):
        return answer


async def contents(wire: Wire) -> dict[bytes, Any]:
    """All keys: what they hold, and whether they end."""
    reads = {
        b"string": (b"GET",),
        b"hash": (b"HGETALL",),
        b"list": (b"LRANGE", b"0", b"-1"),
        b"set": (b"SMEMBERS",),
        b"zset": (b"ZRANGE", b"0", b"-1", b"WITHSCORES"),
        b"stream": (b"XRANGE", b"-", b"+"),
    }
    found: dict[bytes, Any] = {}
    for key in await wire.call("KEYS", "*"):
        name, *rest = reads[await wire.call("TYPE", key)]
        ends = await wire.call("PTTL", key) >= 0
        found[key] = (name, ends, await ask(wire, (name, key, *rest)))
    return found


async def compare(url: str, played: list[Command]) -> None:
    redis, memory = Wire(url), Wire("memory://compared")
    try:
        # Its streams let go of entries one by one, as those in memory do.
        await redis.call("CONFIG", "SET", "stream-node-max-entries", 1)
        await redis.call("FLUSHALL")
        for command in played:
            assert await ask(memory, command) == await ask(redis, command), command
        assert await contents(memory) == await contents(redis)
    finally:
        await redis.call("CONFIG", "SET", "stream-node-max-entries", 100)
        await redis.close()
        await memory.close()


def test_any_commands_are_answered_alike(real_redis_url: str) -> None:
    @settings(
        max_examples=300,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(commands)
    def play(played: list[Command]) -> None:
        with serve("compared"):
            asyncio.run(compare(real_redis_url, played))

    play()
