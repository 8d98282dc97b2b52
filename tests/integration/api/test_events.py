"""Following events over HTTP: everything in order, nothing twice, nothing missing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import jsonschema_rs
import pytest

from agentainer_flow.core.catalogue import asyncapi
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk import feed as feeds

from .scene import Scene, event_of, open_scene

pytestmark = pytest.mark.anyio


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Scene]:
    """A server without anybody who carries workflows, and a heart that beats fast."""
    async with open_scene(settings, carried=False, heartbeat=0.05) as scene:
        yield scene


async def take(stream: AsyncIterator[dict[str, str]], count: int) -> list[dict[str, str]]:
    """The next messages that are events."""
    found: list[dict[str, str]] = []
    with anyio.fail_after(20):
        async for message in stream:
            if "data" in message and "event" not in message:
                found.append(message)
            if len(found) == count:
                return found
    raise AssertionError(f"the stream ended after {len(found)} events")


async def until_word(stream: AsyncIterator[dict[str, str]], word: str) -> list[dict[str, Any]]:
    """The events before a word of the stream."""
    found: list[dict[str, Any]] = []
    with anyio.fail_after(20):
        async for message in stream:
            if message.get("event") == word:
                return found
            if "data" in message and "event" not in message:
                found.append(event_of(message))
    raise AssertionError(f"the stream ended without {word}")


async def write(scene: Scene, workflow: str, value: object) -> None:
    answer = await scene.put(f"/workflows/{workflow}/state", json={"value": value})
    assert answer.status_code == 200


def versions(messages: list[dict[str, str]]) -> list[int]:
    return [int(event_of(message)["sequence"]) for message in messages]


async def test_stored_events_then_caught_up_then_live_then_end(scene: Scene) -> None:
    made = await scene.create("waits", start=True)
    stream = scene.stream(f"/workflows/{made['id']}/events")
    stored = await until_word(stream, "caught_up")
    await scene.put(f"/workflows/{made['id']}/state/go", json=True)
    live = await until_word(stream, "end")
    found = [int(event["sequence"]) for event in stored + live]
    assert found == list(range(1, len(found) + 1))
    assert live[-1]["type"] == "io.agentainer.workflow.completed.v1"


@pytest.mark.parametrize("last", [0, 1, 3, 5])
async def test_last_event_id_goes_on_exactly_after_it(idle: Scene, last: int) -> None:
    made = await idle.create("greet", name="Ada")
    for number in range(4):
        await write(idle, made["id"], number)
    path = f"/workflows/{made['id']}/events"
    stream = idle.stream(path, **{"Last-Event-ID": str(last)})
    assert [int(e["sequence"]) for e in await until_word(stream, "caught_up")] == list(
        range(last + 1, 6)
    )


async def test_a_log_that_went_back_is_told(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    stream = idle.stream(f"/workflows/{made['id']}/events", **{"Last-Event-ID": "7"})
    assert await until_word(stream, "resync") == []
    assert versions(await take(stream, 1)) == [1]


async def test_an_idle_stream_shows_that_it_lives(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    with anyio.fail_after(10):
        async for message in idle.stream(f"/workflows/{made['id']}/events"):
            if message.get("comment") == "idle":
                break


async def test_types_filter_and_ids_still_move(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    await write(idle, made["id"], 1)
    stream = idle.stream(f"/workflows/{made['id']}/events?type=state.*")
    (only,) = await take(stream, 1)
    assert (only["id"], event_of(only)["type"]) == ("2", "io.agentainer.state.updated.v1")


async def test_pages_of_a_log(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    for number in range(6):
        await write(idle, made["id"], number)
    found: list[str] = []
    target = f"/workflows/{made['id']}/events?limit=3"
    while target:
        answer = await idle.http.get(target)
        found += [event["id"] for event in answer.json()["items"]]
        target = answer.links.get("next", {}).get("url", "")
    assert found == [f"{made['id']}:{version}" for version in range(1, 8)]


async def test_lines_and_batches(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    path = f"/workflows/{made['id']}/events"
    lines = await idle.http.get(path, headers={"Accept": "application/x-ndjson"})
    batch_type = "application/cloudevents-batch+json"
    batch = await idle.http.get(path, headers={"Accept": batch_type})
    assert batch.headers["content-type"] == batch_type
    assert [batch.json()[0]] == [httpx.Response(200, content=x).json() for x in lines.iter_lines()]
    none = await idle.http.get(path, headers={"Accept": "text/csv"})
    assert none.status_code == 406


async def test_all_workflows_stored_and_live_without_a_seam(idle: Scene) -> None:
    first = await idle.create("greet", name="Ada")
    second = await idle.create("waits")
    stream = idle.stream("/events")
    stored = await until_word(stream, "caught_up")
    assert [event["partitionkey"] for event in stored] == [first["id"], second["id"]]
    await write(idle, first["id"], 1)
    third = await idle.create("greet", name="Bo")
    live = [event_of(message) for message in await take(stream, 2)]
    assert [event["partitionkey"] for event in live] == [first["id"], third["id"]]


async def test_all_workflows_resume_at_any_event(idle: Scene) -> None:
    """Whatever event a client stops at, stored or live, it gets exactly the rest."""
    ids = [(await idle.create("greet", name=str(n)))["id"] for n in range(3)]
    for workflow in ids:
        await write(idle, workflow, 1)
    stream = idle.stream("/events")
    stored = await take(stream, 6)
    for workflow in ids:
        await idle.put(f"/workflows/{workflow}/start")
        await idle.put(f"/workflows/{workflow}/cancel")
    messages = stored + await take(stream, 6)
    events = [event_of(message)["id"] for message in messages]
    for number, message in enumerate(messages[:-1]):
        rest = await take(
            idle.stream("/events", **{"Last-Event-ID": message["id"]}), len(events) - number - 1
        )
        assert [event_of(one)["id"] for one in rest] == events[number + 1 :]


async def test_all_workflows_filtered(idle: Scene) -> None:
    tagged = {"name": "greet", "input": {"name": "a"}, "tags": {"team": "search"}}
    made = (await idle.http.post("/workflows", json=tagged)).json()
    await idle.create("waits")
    await idle.create("greet", name="b")

    async def ids(query: str) -> list[str]:
        page = await idle.get(f"/events?{query}")
        return [event["partitionkey"] for event in page["items"]]

    assert len(await ids("type=workflow.created")) == 3
    assert await ids("tag=team:search") == [made["id"]]
    assert len(await ids("name=greet")) == 2
    assert await ids("type=io.agentainer.step.completed.v1") == []


async def test_pages_of_all_events_go_on_where_they_ended(idle: Scene) -> None:
    for number in range(5):
        await idle.create("greet", name=str(number))
    found: list[str] = []
    target = "/events?limit=2"
    for _ in range(4):
        answer = await idle.http.get(target)
        found += [event["id"] for event in answer.json()["items"]]
        target = answer.links["next"]["url"]
    late = await idle.create("greet", name="late")
    page = (await idle.http.get(target)).json()
    assert len(set(found)) == 5
    assert [event["partitionkey"] for event in page["items"]] == [late["id"]]


async def test_a_position_that_is_gone_is_told(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    await take(idle.stream("/events"), 1)
    for number in range(3):
        await write(idle, made["id"], number)
    await idle.log.redis.xtrim("flow:0:feed", maxlen=0)
    stream = idle.stream("/events", **{"Last-Event-ID": "f:1-0"})
    assert await until_word(stream, "resync") == []
    await write(idle, made["id"], "after")
    (live,) = await take(stream, 1)
    assert event_of(live)["data"]["changes"][0]["value"] == "after"


async def test_a_reader_that_is_slow_misses_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More comes than sockets hold and than the ring keeps: the rest is read from Redis later."""
    monkeypatch.setattr(feeds, "RING", 10)
    ask = b"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    async with open_scene(settings, carried=False) as scene:
        host, _, port = scene.url.removeprefix("http://").partition(":")
        async with await anyio.connect_tcp(host, int(port)) as slow:
            await slow.send(ask)
            await slow.receive(1)
            made = [
                (await scene.create("greet", name=" " * 60_000))["id"].encode() for _ in range(300)
            ]
            found: list[bytes] = []
            text = b""
            with anyio.fail_after(30):
                while len(found) < len(made):
                    text = text[-42:] + await slow.receive()  # what is looked for has 43 bytes
                    found += re.findall(rb'"partitionkey":"(\w{26})"', text)
                    assert b"event: resync" not in text
    assert found == made


async def test_a_deleted_workflow_is_told(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    stream = idle.stream("/events?type=workflow.deleted&after=now")
    await until_word(stream, "caught_up")
    await idle.http.delete(f"/workflows/{made['id']}")
    (message,) = await take(stream, 1)
    assert event_of(message)["id"] == f"{made['id']}:2"


async def test_the_feed_goes_when_nobody_follows(idle: Scene) -> None:
    await idle.create("greet", name="Ada")
    await take(idle.stream("/events"), 1)
    await idle.log.scripts.tend_feeds(0, keep_ms=1000, keep_entries=10)
    assert await idle.log.redis.exists("flow:0:feed")
    async for name in idle.log.redis.scan_iter("flow:0:followers"):
        await idle.log.redis.delete(name)
    await idle.log.scripts.tend_feeds(0, keep_ms=1000, keep_entries=10)
    assert not await idle.log.redis.exists("flow:0:feed")


async def test_a_feed_that_was_lost_is_made_again(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    one = idle.stream(f"/workflows/{made['id']}/events")
    everything = idle.stream("/events?after=now")
    await until_word(one, "caught_up")
    await until_word(everything, "caught_up")
    await idle.log.redis.delete("flow:0:feed")
    await write(idle, made["id"], 1)
    await idle.api.feed.renew()
    assert versions(await take(one, 1)) == [2]
    assert await until_word(everything, "resync") == []


async def test_streams_end_within_a_second_of_the_server(settings: Settings) -> None:
    async with open_scene(settings, carried=False) as scene:
        made = await scene.create("greet", name="Ada")
        streams = [scene.stream("/events"), scene.stream(f"/workflows/{made['id']}/events")]
        for stream in streams:
            await until_word(stream, "caught_up")
        began = anyio.current_time()
        scene.stop.set()
        for stream in streams:
            with anyio.fail_after(5):
                assert [m async for m in stream if "data" in m] == []
        assert anyio.current_time() - began < 1


async def test_twenty_followers_see_all_events_of_all_workflows_in_order(scene: Scene) -> None:
    seen: list[dict[str, list[int]]] = [{} for _ in range(20)]
    ids: set[str] = set()
    ready = [anyio.Event() for _ in seen]

    async def follow(mine: dict[str, list[int]], caught_up: anyio.Event) -> None:
        ended: set[str] = set()
        async for message in scene.stream("/events?after=now"):
            if message.get("event") == "caught_up":
                caught_up.set()
            elif "data" in message:
                event = event_of(message)
                mine.setdefault(event["partitionkey"], []).append(int(event["sequence"]))
                if event["type"] == "io.agentainer.workflow.completed.v1":
                    ended.add(event["partitionkey"])
            if len(ended) == 20:
                return

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for mine, caught_up in zip(seen, ready, strict=True):
                tasks.start_soon(follow, mine, caught_up)
            for caught_up in ready:
                await caught_up.wait()
            for number in range(20):
                ids.add((await scene.create("doubles", start=True, numbers=number % 5))["id"])
    for mine in seen:
        assert set(mine) == ids
        assert all(found == list(range(1, len(found) + 1)) for found in mine.values())


async def test_events_are_as_the_catalogue_says(scene: Scene) -> None:
    """Every event of some runs fits the schema that AsyncAPI and OpenAPI have for its type."""
    await scene.run("doubles", numbers=2)
    await scene.run("greet", name="Ada")
    document = asyncapi()
    messages = document["components"]["messages"]
    by_type = {message["name"]: message["payload"] for message in messages.values()}
    events = (await scene.get("/events?limit=500"))["items"]
    assert len({event["type"] for event in events}) >= 7
    for event in events:
        schema = {**by_type[event["type"]], "components": document["components"]}
        jsonschema_rs.validate(schema, event)
