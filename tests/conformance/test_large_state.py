"""State values above the inline limit lie beside the log; their events say where."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.answers import StateRefused
from agentainer_flow.core.definition import Definition
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections.documents import document, encode
from agentainer_flow.projections.fold import fold
from agentainer_flow.sdk.task import append_change, set_change

from ..integration.bench import Bench

pytestmark = pytest.mark.anyio

LARGE = "x" * 100


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    settings = msgspec.structs.replace(settings, inline_limit=50, payload_limit=300)
    log = EventLog(settings, settings.redis_url or "")
    await log.open()
    await Bench(log).create()
    yield log
    await log.close()


async def change(log: EventLog, *changes: dict[str, Any], **more: Any) -> Any:
    return await log.scripts.change_state("w1", by="me", changes=list(changes), **more)


async def state(log: EventLog) -> dict[str, Any]:
    found = await log.redis.hgetall("workflow:w1:state")
    return {key.decode(): msgspec.json.decode(value) for key, value in found.items()}


async def shown(log: EventLog) -> Any:
    """The state that the document of the workflow shows."""
    view = fold("w1", await log.read("w1"))
    return msgspec.json.decode(encode(document(view, Definition("wf", ()))))["state"]


async def test_large_value_leaves_the_event_and_is_read_as_it_is(log: EventLog) -> None:
    await change(log, set_change("k", LARGE, log.settings), set_change("n", 1, log.settings))

    (*_, last) = await log.read("w1")
    assert isinstance(last.event, e.StateUpdated)
    large, small = last.event.changes
    assert large.blob is not None
    assert (large.blob.size, small.blob) == (102, None)
    assert msgspec.json.decode(await log.get_blob("w1", large.blob.digest)) == LARGE
    assert await state(log) == {"k": LARGE, "n": 1}
    assert await shown(log) == {"k": msgspec.to_builtins(large.blob), "n": 1}


async def test_feeds_carry_no_large_value(log: EventLog) -> None:
    feed = log.keys.flow(0, "feed")
    await log.redis.xgroup_create(feed, "subscriber", id="$", mkstream=True)

    await change(log, set_change("k", LARGE, log.settings))

    ((_, fields),) = await log.redis.xrange(feed)
    assert LARGE.encode() not in fields[b"e"]
    assert b'"blob":{"digest":' in fields[b"e"]


async def test_large_items_of_a_list_lie_beside_the_log(log: EventLog) -> None:
    for item in (1, LARGE, 2):
        await change(log, append_change("l", item, log.settings))

    assert await state(log) == {"l": [1, LARGE, 2]}
    found = (await shown(log))["l"]
    assert found == {
        "base": [1],
        "appended": [{"digest": found["appended"][0]["digest"], "size": 102}, 2],
    }


async def test_list_does_not_grow_above_the_limit_of_payloads(log: EventLog) -> None:
    append = append_change("l", LARGE, log.settings)

    await change(log, append, append, limit=300)
    answer = await change(log, append, limit=300)

    assert answer == StateRefused(
        "l", "append would make it 310 bytes, the limit is 300 (AGENTAINER_PAYLOAD_LIMIT)"
    )
    assert await state(log) == {"l": [LARGE, LARGE]}


async def test_refused_change_leaves_nothing_beside_the_log(log: EventLog) -> None:
    await change(log, set_change("n", "text", log.settings))

    large, wrong = set_change("k", LARGE, log.settings), {"op": "incr", "key": "n", "by": 1}
    assert isinstance(await change(log, large, wrong), StateRefused)

    assert not await log.redis.exists("workflow:w1:blobs")


async def test_write_that_comes_again_does_not_carry_large_values(log: EventLog) -> None:
    """What is kept to recognise it is small."""
    bench = Bench(log)
    await bench.own()
    await bench.queue(0)
    await bench.claim(1)
    claim = {"step": "a", "index": 0, "token": "s/1", "write": 1}
    for _ in "ab":
        assert await change(log, append_change("l", LARGE, log.settings), claim=claim) == [None]

    kept = await log.redis.hvals("workflow:w1:effects")
    assert sum(map(len, kept)) < len(LARGE)
    assert await state(log) == {"l": [LARGE]}
