"""Sessions say what they are, and hand back what they hold."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from agentainer_flow.core.log import EventLog
from agentainer_flow.reactors.session import About, Session

from ..integration.bench import Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(log: EventLog) -> Bench:
    bench = Bench(log)
    await bench.create()
    await bench.own()
    return bench


async def test_a_session_says_what_it_is_until_it_ends(log: EventLog) -> None:
    session = Session(log, "worker", slots=3, definitions={"orders": "|pack|send|"})
    key = log.keys.flow(0, "about")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.keep)
        with anyio.fail_after(5):
            while not await log.redis.hexists(key, session.name):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    about = msgspec.json.decode(await log.redis.hget(key, session.name), type=About)
    assert (about.role, about.slots, about.definitions) == ("worker", 3, ["orders"])
    await session.hand_back()
    assert await log.redis.exists("flow:0:sessions", key) == 0


async def test_only_the_named_session_hands_back(bench: Bench) -> None:
    await bench.queue(0, 1, 2)
    await bench.claim(want=2, token="s/1")
    await bench.claim(want=1, token="t/1")

    assert await bench.scripts.hand_back(0, session="s") == [2, 0, 0]
    assert await bench.scripts.hand_back(0, session="s") == [0, 0, 0]
    assert await bench.settle(2, token="t/1") == []
    assert len((await bench.claim(token="t/2"))[0].tasks) == 2


async def test_what_was_handed_back_cannot_be_settled(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(token="s/1")
    await bench.scripts.hand_back(0, session="s")
    assert await bench.settle(0, token="s/1") == [(bench.id, "a", 0)]


async def test_handing_back_speaks_not_against_a_task(bench: Bench) -> None:
    await bench.queue(0)
    for n in range(5):
        assert await bench.claim(token=f"s/{n}")
        await bench.scripts.hand_back(0, session="s")
    assert "task.failed" not in await bench.types()
    assert (await bench.types()).count("task.lost") == 5


async def test_setting_one_limit_keeps_the_other(bench: Bench) -> None:
    assert await bench.scripts.set_queue("gpu", limit=4) == [4, 0, 0, 0]
    assert await bench.scripts.set_queue("gpu", depth=9) == [4, 9, 0, 0]
    assert await bench.scripts.set_queue("gpu", limit=0) == [0, 9, 0, 0]
