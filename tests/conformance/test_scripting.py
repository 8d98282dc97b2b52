"""How scripts see Redis, and Redis answers for them: the same on Redis and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import exceptions

from agentainer_flow.core.wire import Wire

pytestmark = pytest.mark.anyio


@pytest.fixture
def redis_url(each_redis_url: str) -> str:
    return each_redis_url


@pytest.fixture
async def wire(settings: Any) -> AsyncGenerator[Wire, None]:
    wire = Wire(settings.redis_url or "")
    yield wire
    await wire.close()


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("return 3.99", 3),
        ("return -3.99", -3),
        ("return 2^53", 2**53),
        ("return '3.99'", b"3.99"),
        ("return true", 1),
        ("return false", None),
        ("return nil", None),
        ("return {1, 'a', {2.5}, true, false, 4}", [1, b"a", [2], 1, None, 4]),
        ("return {1, nil, 3}", [1]),
        ("return {}", []),
        ("return {ok = 'FINE'}", b"FINE"),
        ("return redis.status_reply('FINE')", b"FINE"),
        ("return {KEYS[1], ARGV[1], ARGV[2], #KEYS, #ARGV}", [b"k", b"a", b"\xff\x00", 1, 2]),
        ("return redis.sha1hex('')", b"da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("return redis.call('GET', KEYS[1])", None),
        ("return type(redis.call('GET', KEYS[1]))", b"boolean"),
        ("return redis.call('SET', KEYS[1], 'v').ok", b"OK"),
        ("return redis.call('set', KEYS[1], 1.5)", b"OK"),
        ("redis.call('SET', KEYS[1], 2^40) return redis.call('GET', KEYS[1])", b"1099511627776"),
        ("return type(redis.call('HGETALL', KEYS[1]))", b"table"),
        ("return redis.call('HMGET', KEYS[1], 'a', 'b')[2] == false", 1),
        ("redis.call('ZADD', KEYS[1], 1796000000000, 'a') "
         "return tonumber(redis.call('ZSCORE', KEYS[1], 'a'))", 1796000000000),
        ("redis.call('ZADD', KEYS[1], '-inf', 'a', 1/0, 'b') "
         "return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')",
         [b"a", b"-inf", b"b", b"inf"]),
        ("return redis.pcall('INCR').err ~= nil", 1),
        ("return redis.pcall('XADD', KEYS[1], '0-0', 'a', 'b').err",
         b"ERR The ID specified in XADD must be greater than 0-0"),
        ("local done, e = pcall(redis.call, 'GET') return {done, type(e)}", [None, b"string"]),
        ("return 1e15 .. ' ' .. 0.1 .. ' ' .. 2^63", b"1e+15 0.1 9.2233720368548e+18"),
    ],
)  # fmt: skip
async def test_values_pass_between_lua_and_redis(wire: Wire, script: str, answer: Any) -> None:
    assert await wire.call("EVAL", script, 1, "k", "a", b"\xff\x00") == answer


@pytest.mark.parametrize(
    ("commands", "kind", "text"),
    [
        (["GET"], exceptions.ResponseError, "wrong number of arguments for 'get' command"),
        (["NONSENSE a"], exceptions.ResponseError, "unknown command 'NONSENSE', with args"),
        (["EVALSHA " + "0" * 40 + " 0"], exceptions.NoScriptError, "No matching script"),
        (["FCALL nothing 0"], exceptions.ResponseError, "Function not found"),
        (["HSET set a b", "LPUSH string a", "XADD string * a b"], exceptions.ResponseError,
         "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (["INCR string"], exceptions.ResponseError, "value is not an integer or out of range"),
        (["HINCRBY hash a 1"], exceptions.ResponseError, "hash value is not an integer"),
        (["XADD stream 1-1 a b", "XADD stream 1 a b"], exceptions.ResponseError,
         "The ID specified in XADD is equal or smaller than the target stream top item"),
        (["XADD stream 0-0 a b"], exceptions.ResponseError,
         "The ID specified in XADD must be greater than 0-0"),
        (["XRANGE stream x +"], exceptions.ResponseError,
         "Invalid stream ID specified as stream command argument"),
        (["XGROUP CREATE stream g $"], exceptions.ResponseError,
         "BUSYGROUP Consumer Group name already exists"),
        (["XGROUP SETID stream other $"], exceptions.ResponseError,
         "NOGROUP No such consumer group 'other' for key name 'stream'"),
        (["XREADGROUP GROUP g c STREAMS none >"], exceptions.ResponseError,
         "NOGROUP No such key 'none'"),
        (["XGROUP CREATE none g $"], exceptions.ResponseError,
         "The XGROUP subcommand requires the key to exist."),
        (["XINFO STREAM none", "RENAME none other", "LSET none 0 a"], exceptions.ResponseError,
         "no such key"),
        (["EXEC"], exceptions.ResponseError, "EXEC without MULTI"),
        (["SET string a PX 0"], exceptions.ResponseError, "invalid expire time in 'set' command"),
        (["ZADD zset a b"], exceptions.ResponseError, "value is not a valid float"),
        (["ZRANGEBYSCORE zset a b"], exceptions.ResponseError, "min or max is not a float"),
        (["SET string a NONSENSE"], exceptions.ResponseError, "syntax error"),
    ],
)  # fmt: skip
async def test_errors_are_told_alike(
    wire: Wire, commands: list[str], kind: type[Exception], text: str
) -> None:
    for command in ("SET string a", "SADD set a", "HSET hash a b", "XADD stream 5-5 a b",
                    "XGROUP CREATE stream g $"):  # fmt: skip
        await wire.call(*command.split())
    for command in commands:
        with pytest.raises(kind) as raised:
            await wire.call(*command.split())
        assert type(raised.value) is kind
        assert str(raised.value).startswith(text)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("return redis.call('HGET', KEYS[1], 'a')",
         "WRONGTYPE Operation against a key holding the wrong kind of value script: "),
        ("return redis.call('GET')", "Wrong number of args calling Redis command from script"),
        ("return redis.call('NONSENSE')", "Unknown Redis command called from script"),
        ("return redis.call('GET', {})",
         "Lua redis lib command arguments must be strings or integers"),
        ("return redis.call('GET', nil)",
         "Lua redis lib command arguments must be strings or integers"),
        ("return nothing",
         "user_script:1: Script attempted to access nonexistent global variable 'nothing'"),
        ("nothing = 1", "user_script:1: Attempt to modify a readonly table"),
        ("return 1 +",
         "Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'"),
        ("error('no')", "user_script:1: no"),
        ("error({err = 'MY own'})", "MY own"),
        ("return redis.error_reply('MY own')", "MY own"),
        ("return {err = 'MY own'}", "MY own"),
        ("return ('a'):nothing()", "user_script:1: attempt to call method 'nothing' (a nil value)"),
        ("return cjson.decode('{')", ""),
        ("return cmsgpack.unpack('\\205')", ""),
    ],
)  # fmt: skip
async def test_script_that_fails_says_why(wire: Wire, script: str, text: str) -> None:
    await wire.call("SET", "k", "v")
    with pytest.raises(exceptions.ResponseError) as raised:
        await wire.call("EVAL", script, 1, "k")
    assert str(raised.value).startswith(text)


async def test_script_that_fails_keeps_what_it_wrote(wire: Wire) -> None:
    with pytest.raises(exceptions.ResponseError):
        await wire.call("EVAL", "redis.call('SET', KEYS[1], 1) error('no')", 1, "k")
    assert await wire.call("GET", "k") == b"1"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=25,
)


#: What becomes of a value that comes as MessagePack, and of one that comes as JSON.
ROUND = """
local done, json = pcall(cjson.encode, cmsgpack.unpack(ARGV[1]))
local value = cjson.decode(ARGV[2])
return {cmsgpack.pack(cmsgpack.unpack(ARGV[1])), done and json or 'none', cjson.encode(value),
  cmsgpack.pack(value)}
"""


def test_json_and_messagepack_are_written_alike(real_redis_url: str) -> None:
    """Byte for byte and in the same order: what is stored has to be what Redis stores."""

    async def ask(value: Any) -> None:
        packed, text = msgspec.msgpack.encode(value), msgspec.json.encode([value])
        answers: list[Any] = []
        for url in (real_redis_url, "memory://packing"):
            wire = Wire(url)
            answers.append(await wire.call("EVAL", ROUND, 0, packed, text))
            await wire.close()
        assert answers[1] == answers[0]

    @hypothesis_settings(max_examples=300, deadline=None)
    @given(values)
    def compare(value: Any) -> None:
        asyncio.run(ask(value))

    compare()
