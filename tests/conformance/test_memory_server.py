"""What only the Redis in memory has: a clock and a journal of its own, and faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import cycle

import pytest
from redis import exceptions

from agentainer_flow import Context, step, workflow
from agentainer_flow.core.connection import Connection
from agentainer_flow.core.memory import Server, serve
from agentainer_flow.core.memory.values import Args, Reply
from agentainer_flow.core.settings import load_settings
from agentainer_flow.sdk.runner import arun

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000.0

    def __call__(self) -> float:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[Server]:
    with serve("test", clock=clock, keeps_journal=True) as server:
        yield server


@pytest.fixture
async def connection(server: Server) -> AsyncGenerator[Connection, None]:
    connection = Connection("memory://test")
    yield connection
    await connection.close()


async def test_its_time_is_that_of_its_clock(connection: Connection, clock: Clock) -> None:
    await connection.wire.call("SET", "key", "value", "PX", 500)
    clock.ms += 400
    assert await connection.wire.call("PTTL", "key") == 100
    clock.ms += 101
    assert await connection.wire.call("GET", "key") is None
    assert await connection.wire.call("TIME") == [b"1", b"501000"]


async def test_last_writes_can_be_lost(connection: Connection, server: Server) -> None:
    for number in range(5):
        await connection.wire.call("RPUSH", "list", number)
        await connection.wire.call("LRANGE", "list", 0, -1)
    server.lose(2)
    assert await connection.wire.call("LRANGE", "list", 0, -1) == [b"0", b"1", b"2"]


async def test_transaction_is_lost_as_one(connection: Connection, server: Server) -> None:
    async with connection.redis.pipeline(transaction=True) as pipe:
        pipe.set("a", 1)
        pipe.set("b", 1)
        await pipe.execute()
    server.lose(1)
    assert await connection.wire.call("DBSIZE") == 0


async def test_server_that_is_away_refuses(connection: Connection, server: Server) -> None:
    async with connection.tail() as tail:
        reading = asyncio.create_task(tail.read({"stream": "0-0"}, count=1))
        await connection.wire.call("PING")
        server.go_away()
        for call in (reading, connection.wire.call("PING"), connection.redis.ping()):
            with pytest.raises(exceptions.ConnectionError):
                await call
    server.come_back()
    assert await connection.wire.call("PING") == b"PONG"


class Losing:
    """Cuts before and after the commands of these names."""

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._after = before, after
        self._ways = cycle([0.0, 0.002, 0.0, 0.0, 0.001])

    def before(self, command: Args) -> float:
        if command[0] == self._before:
            raise ConnectionError
        return next(self._ways)

    def after(self, command: Args, reply: Reply) -> float:
        if command[0] == self._after:
            raise ConnectionError
        return next(self._ways)


async def test_command_is_lost_or_its_answer(connection: Connection, server: Server) -> None:
    server.faults = lambda session: Losing(before=b"SET", after=b"INCR")
    for command in (("SET", "key", 1), ("INCR", "counter")):
        with pytest.raises(exceptions.ConnectionError):
            await connection.wire.call(*command)
    assert await connection.wire.call("MGET", "key", "counter") == [None, b"1"]


async def test_answers_come_in_order_whatever_is_delayed(
    connection: Connection, server: Server
) -> None:
    server.faults = lambda session: Losing(b"", b"")
    calls = [connection.wire.call("ECHO", number) for number in range(20)]
    assert await asyncio.gather(*calls) == [b"%d" % number for number in range(20)]


async def test_server_of_a_loop_ends_with_it() -> None:
    def count_keys() -> int:
        async def use() -> int:
            connection = Connection("memory://nobody")
            await connection.wire.call("INCR", "key")
            size: int = await connection.wire.call("DBSIZE")
            await connection.close()
            return size

        return asyncio.run(use())

    assert [await asyncio.to_thread(count_keys) for _ in range(2)] == [1, 1]


@workflow()
class Double:
    @step()
    def double(self, context: Context, n: int) -> int:
        return 2 * n


async def test_whole_run() -> None:
    settings = load_settings(environ={}, redis_url="memory://run", durability="fsync")
    assert (await arun(Double(), {"n": 21}, settings)) == 42
