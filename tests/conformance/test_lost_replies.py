"""A reply is lost after the server did what was asked: asked again, it is as if asked once.

Each case is played twice, once as it is and once with the first reply lost. Afterwards Redis must
hold the same, key by key, apart from times.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from agentainer_flow.core.answers import Batch, Claim, Commit, Duplicate, Missing
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.scripts import Scripts
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.task import append_change, set_change

from ..integration.bench import LANE, Bench, change, job
from ..integration.bench import claim as bench_claim
from ..integration.bench import commit as bench_commit
from ..integration.bench import settle as bench_settle
from .contents import contents
from .losing import Losing, losing_way

pytestmark = pytest.mark.anyio

NO_LIMITS = "0|default||0"

#: Sets the scene with the bench, then makes one call on the scripts it is given.
Case = Callable[[Bench, Scripts], Awaitable[Any]]
CASES: dict[str, Case] = {}


def case(play: Case) -> Case:
    """Note a case. It is named after the script's function, and what is special about the call."""
    CASES[getattr(play, "__name__", "")] = play
    return play


@case
async def append(bench: Bench, scripts: Scripts) -> Any:
    event = ("workflow.cancel_requested", "{}")
    return await scripts.append(
        "w1", key="k2", content="c", events=[event], by="client", status="cancelling"
    )


@case
async def append__creates(bench: Bench, scripts: Scripts) -> Any:
    return await Bench(EventLogOf(bench, scripts), "w2").create()


@case
async def commit(bench: Bench, scripts: Scripts) -> Any:
    batch = Batch("a", NO_LIMITS, 0, [(0, 1, "null")], "{}", patience_ms=60_000)
    event = ("step.scheduled", '{"step":"a","tasks":1,"queued":1}', None)
    return await bench_commit(
        scripts,
        "w1",
        commit="c",
        events=[event],
        queue=[batch],
    )


@case
async def commit__ends(bench: Bench, scripts: Scripts) -> Any:
    return await bench_commit(
        scripts,
        "w1",
        commit="c",
        events=[("workflow.completed", "{}", None)],
        status="completed",
        version=2,
    )


@case
async def turn__claims(bench: Bench, scripts: Scripts) -> Any:
    await bench.queue(0, 1, 2)
    claimed = await bench_claim(scripts, session="s", token="s/1", want=2, lease_ms=60_000)
    return [(step.step, step.tasks) for step in claimed]


async def claimed(bench: Bench) -> None:
    """A task that is under way."""
    await bench.queue(0)
    await bench.claim(1)


@case
async def turn__settles(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    await bench.scripts.request_job("w1", **job())
    done = (0, "s/1", "task.completed", '{"step":"a","index":0,"attempt":1}')
    return await bench_settle(scripts, session="s", groups=[("w1", "a", [done])])


@case
async def turn__hops(bench: Bench, scripts: Scripts) -> Any:
    """A result, what the engine of the same process makes of it, and the claim of the next task."""
    await claimed(bench)
    version, digest = 4, (await bench.log.read("w1"))[-1].digest
    decision = Commit(
        "w1",
        "c",
        [("step.completed", '{"step":"a"}', 5), ("step.scheduled", '{"step":"b"}', 0)],
        [Batch("b", NO_LIMITS, -1, [(0, 1, "null")], "{}")],
        [],
        is_whole=True,
        seen=(version, digest),
        settled=1,
    )
    done = (0, "s/1", "task.completed", '{"step":"a","index":0,"attempt":1}')
    turned = await scripts.turn(
        0,
        lane=LANE,
        session="s",
        groups=[("w1", "a", [done])],
        claim=Claim("s/2", 5, {"wf": "|a|b|"}, 60_000),
        decisions=[decision],
        token="engine/1",
    )
    assert [step.step for step in turned.claimed] == ["b"]
    return turned.claimed[0].tasks


@case
async def request_job(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    return await scripts.request_job("w1", **job())


@case
async def request_job__after_a_failure(bench: Bench, scripts: Scripts) -> Any:
    await launched(bench)
    await record(bench.scripts, "job.failed", '{"error":{"type":"failed","message":"m"}}')
    return await scripts.request_job("w1", **job())


@case
async def stop_job(bench: Bench, scripts: Scripts) -> Any:
    await launched(bench)
    return await scripts.stop_job("w1", step="a", index=0, token="s/1", job="a-0-x")


@case
async def claim_jobs(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    await bench.scripts.request_job("w1", **job())
    return await take_jobs(scripts)


async def take_jobs(scripts: Scripts) -> Any:
    return await scripts.claim_jobs(
        0,
        lane=LANE,
        host="h",
        session="l",
        token="l/1",
        want=5,
        lease_ms=60_000,
        default_memory=1,
        memory=3,
        all_memory=4,
    )


async def launched(bench: Bench) -> None:
    """An agent that a launcher has taken."""
    await claimed(bench)
    await bench.scripts.request_job("w1", **job())
    await take_jobs(bench.scripts)


async def record(scripts: Scripts, kind: str, rest: str = "{}") -> Any:
    return await scripts.settle_job(
        "w1", job="a-0-x", token="l/1", type=kind, rest=rest, final=kind != "job.launched"
    )


LAUNCHED = '{"container":"c","host":"h","runtime":"r"}'


@case
async def settle_job__launched(bench: Bench, scripts: Scripts) -> Any:
    await launched(bench)
    return await record(scripts, "job.launched", LAUNCHED)


@case
async def settle_job__launched_while_stopping(bench: Bench, scripts: Scripts) -> Any:
    await launched(bench)
    await bench.scripts.stop_job("w1", step="a", index=0, token="s/1", job="a-0-x")
    return await record(scripts, "job.launched", LAUNCHED)


@case
async def settle_job(bench: Bench, scripts: Scripts) -> Any:
    await launched(bench)
    await record(bench.scripts, "job.launched", LAUNCHED)
    return await record(scripts, "job.succeeded")


@case
async def change_state(bench: Bench, scripts: Scripts) -> Any:
    return await scripts.change_state("w1", by="me", changes=[change("incr", by=1)], key="k2")


@case
async def change_state__of_a_task(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    claim = {"step": "a", "index": 0, "token": "s/1", "write": 1}
    changes = [change("incr", by=1), change("append", "l", value="1", event='"value":1')]
    return await scripts.change_state("w1", by="s", changes=changes, claim=claim)


@case
async def change_state__of_a_task_with_large_values(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    claim = {"step": "a", "index": 0, "token": "s/1", "write": 1}
    settings = msgspec.structs.replace(bench.log.settings, inline_limit=1)
    changes = [append_change("l", "large", settings), set_change("k", "large", settings)]
    return await scripts.change_state("w1", by="s", changes=changes, claim=claim)


@case
async def record_effect(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    return await scripts.record_effect(
        "w1", step="a", index=0, token="s/1", effect="run:a:0:n:1", name='"n"', value="1"
    )


@case
async def record_sleep(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    # So long ago that the time of the call does not show.
    return await scripts.record_sleep(
        "w1", step="a", index=0, token="s/1", effect="run:a:0:n:1", name='"n"', seconds=-1e20
    )


@case
async def fire(bench: Bench, scripts: Scripts) -> Any:
    failed = ("task.retried", '{"step":"a","index":0,"attempt":2,"delay_ms":1}', None)
    batch = Batch("a", NO_LIMITS, 0, [(0, 2, "null")], "{}", delay_ms=1)
    await bench.commit(failed, queue=[batch])
    await bench.log.redis.zadd("flow:0:shared:timers", {"w1|retry|a|0": 0})
    return await scripts.fire(0, lane=LANE)


@case
async def renew(bench: Bench, scripts: Scripts) -> Any:
    lanes = [(LANE, "engine/1"), ("run:w9", "engine/2")]
    return await scripts.renew(0, lanes=lanes, sessions=["s"], lease_ms=60_000, acquire=True)


@case
async def renew__releases(bench: Bench, scripts: Scripts) -> Any:
    lanes = [(LANE, "engine/1")]
    return await scripts.renew(0, lanes=lanes, sessions=["s"], lease_ms=0, release=True)


@case
async def set_queue(bench: Bench, scripts: Scripts) -> Any:
    await bench.scripts.set_queue("default", limit=1, depth=0)
    await bench.queue(0, 1)
    await bench.claim(2)
    return await scripts.set_queue("default", limit=2, depth=5)


@case
async def close_lane(bench: Bench, scripts: Scripts) -> Any:
    lanes = [("run:w9", "engine/2")]
    await bench.scripts.renew(0, lanes=lanes, sessions=["s"], lease_ms=60_000, acquire=True)
    await scripts.close_lane(0, lane="run:w9", token="engine/2", sessions=["s"])


@case
async def sweep(bench: Bench, scripts: Scripts) -> Any:
    await launched(bench)
    await bench.scripts.renew(0, lanes=[], sessions=["s", "l"], lease_ms=0)
    return (await scripts.sweep(0)).taken


@case
async def put_blob(bench: Bench, scripts: Scripts) -> Any:
    await scripts.put_blob("w1", digest="d", data=b"[1]")


@case
async def hand_back(bench: Bench, scripts: Scripts) -> Any:
    await launched(bench)
    return await scripts.hand_back(0, session="s")


@case
async def hand_back_others(bench: Bench, scripts: Scripts) -> Any:
    await bench.queue(0, 1)
    await bench.claim(2)
    return await scripts.hand_back_others(0, session="s", kept=["w1|a|1"])


@case
async def acknowledge(bench: Bench, scripts: Scripts) -> Any:
    feed = bench.log.keys.feed(0)
    await bench.log.redis.xgroup_create(feed, "engine", id="0", mkstream=True)
    return await scripts.acknowledge(
        0, lane=LANE, token="engine/1", feed=feed, group="engine", id="7-0"
    )


async def write(scripts: Scripts, *texts: str, after: int) -> None:
    lines = [(1, "stdout", text) for text in texts]
    await scripts.write_logs("w1", job="a-0-x", lines=lines, limit=100, after=after)


@case
async def write_logs(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    await bench.scripts.request_job("w1", **job())
    await write(scripts, "one", "two", after=0)


@case
async def write_logs__more(bench: Bench, scripts: Scripts) -> Any:
    await claimed(bench)
    await bench.scripts.request_job("w1", **job())
    await write(bench.scripts, "one", "two", after=0)
    await write(scripts, "three", "four", after=2)


@case
async def project(bench: Bench, scripts: Scripts) -> Any:
    documents: dict[str, Any] = {"document": "{}", "steps": ["{}"], "jobs": {"a": ["a-0-x"]}}
    ends: dict[str, Any] = {"log_ttl_ms": 60_000, "state_ttl_ms": 60_000, "logs": []}
    ended = {"id": "w1", "version": 2, "status": "completed", "created": 1, "schema": "1.1"}
    ended["digest"] = (await bench.log.read("w1"))[-1].digest
    return await scripts.project(0, [{**ended, **documents, **ends}])


@case
async def write_state(bench: Bench, scripts: Scripts) -> Any:
    return await scripts.write_state(
        "w1", by="client", changes=[change("incr", by=1)], key="k2", version=2
    )


async def ended(bench: Bench) -> None:
    """The workflow has come to its end."""
    await bench.commit(("workflow.completed", "{}", None), status="completed", version=2)


@case
async def delete(bench: Bench, scripts: Scripts) -> Any:
    await bench.scripts.open_group(0, group="g")
    await ended(bench)
    about = {"name": "wf", "tags": [("a", "b")]}
    return await scripts.delete("w1", steps=["a"], jobs=["a-0-x"], about=about, version=3)


async def long_ended(bench: Bench) -> dict[str, Any]:
    """A workflow that has ended and waits for the archive; what is said to archive it."""
    await ended(bench)
    last = await bench.log.read_last("w1")
    return {"version": last.version, "digest": last.digest, "tombstone": "{}"}


@case
async def archive(bench: Bench, scripts: Scripts) -> Any:
    said = await long_ended(bench)
    await scripts.archive("w1", **said, steps=["a"], jobs=["a-0-x"])


@case
async def hold(bench: Bench, scripts: Scripts) -> Any:
    await project(bench, bench.scripts)
    await ended(bench)
    await bench.log.redis.pexpire("workflow:w1:meta", 60_000)
    await scripts.hold(0, ["w1"])


@case
async def unlist(bench: Bench, scripts: Scripts) -> Any:
    await bench.log.redis.zadd("flow:0:named:n", {"gone": 1, "w1": 1})
    await scripts.unlist(0, part="named:n", ids=["gone", "w1"])


@case
async def clear_leftovers(bench: Bench, scripts: Scripts) -> Any:
    await bench.log.redis.hset("workflow:gone:jobs", "j", "{}")
    await scripts.clear_leftovers("gone", parts=["jobs"])


#: State of w1, as a rebuild makes it.
MADE: dict[str, Any] = {"schema": "1", "fields": ["k", "1"], "ttl_ms": 0}


async def shadow(bench: Bench, scripts: Scripts) -> None:
    last = await bench.log.read_last("w1")
    made = {**MADE, "version": last.version, "digest": last.digest}
    await scripts.keep_shadow("w1", name="state", made=made, ttl_ms=60_000)


@case
async def keep_shadow(bench: Bench, scripts: Scripts) -> Any:
    await shadow(bench, scripts)


@case
async def drop_shadow(bench: Bench, scripts: Scripts) -> Any:
    await shadow(bench, bench.scripts)
    await scripts.drop_shadow("w1", name="state", kept_ms=60_000, age_ms=0)


@case
async def switch_projection(bench: Bench, scripts: Scripts) -> Any:
    await shadow(bench, bench.scripts)
    await scripts.switch_projection("w1", name="state", ttl_ms=60_000)


@case
async def restore_projection(bench: Bench, scripts: Scripts) -> Any:
    await shadow(bench, bench.scripts)
    await bench.scripts.switch_projection("w1", name="state", ttl_ms=60_000)
    await scripts.restore_projection("w1", name="state")


@case
async def remember_request(bench: Bench, scripts: Scripts) -> Any:
    return await scripts.remember_request("n", content="c", ttl_ms=60_000)


@case
async def remember_request__answered(bench: Bench, scripts: Scripts) -> Any:
    await bench.scripts.remember_request("n", content="c", ttl_ms=60_000)
    return await scripts.remember_request("n", content="c", answer="a", ttl_ms=60_000)


@case
async def follow_feed(bench: Bench, scripts: Scripts) -> Any:
    _, made = await scripts.follow_feed(0, follower="f", lease_ms=60_000)
    return made


@case
async def follow_feed__ends(bench: Bench, scripts: Scripts) -> Any:
    await bench.scripts.follow_feed(0, follower="f", lease_ms=60_000)
    return await scripts.follow_feed(0, follower="f", lease_ms=0)


@case
async def turn_tracer(bench: Bench, scripts: Scripts) -> Any:
    call: dict[str, Any] = {"group": "tracer", "token": "t", "lease_ms": 60_000, "kept_ms": 60_000}
    start = await bench.log.scripts.turn_tracer(0, **call)
    await bench.create()
    return await scripts.turn_tracer(0, **call, exported=(start or "", "9-0"))


@case
async def tend_feeds(bench: Bench, scripts: Scripts) -> Any:
    await bench.scripts.follow_feed(0, follower="f", lease_ms=60_000)
    await bench.scripts.follow_feed(0, follower="f", lease_ms=0)
    return await scripts.tend_feeds(0, keep_ms=60_000, keep_entries=1000)


@case
async def open_group(bench: Bench, scripts: Scripts) -> Any:
    await scripts.open_group(0, group="g")


@case
async def open_group__closes(bench: Bench, scripts: Scripts) -> Any:
    await bench.scripts.open_group(0, group="g")
    await scripts.open_group(0, group="g", close=True)


async def one_entry(bench: Bench) -> tuple[str, str]:
    """Put one entry on the feed; the ids of what group `g` has read, and of the entry."""
    feed = bench.log.keys.flow(0, "feed")
    await bench.scripts.open_group(0, group="g")
    (group,) = await bench.log.redis.xinfo_groups(feed)
    start: bytes = group["last-delivered-id"]
    await bench.queue(0)
    ((end, _),) = await bench.log.redis.xrange(feed)
    return start.decode(), end.decode()


async def plan(bench: Bench, scripts: Scripts) -> bool:
    """Plan to send the one entry of the feed to a webhook."""
    start, end = await one_entry(bench)
    return await scripts.plan_deliveries(
        0, group="g", start=start, end=end, deliveries=[("d", "hook", "{}")], kept=10
    )


@case
async def plan_deliveries(bench: Bench, scripts: Scripts) -> Any:
    return await plan(bench, scripts)


@case
async def claim_deliveries(bench: Bench, scripts: Scripts) -> Any:
    await plan(bench, bench.scripts)
    taken, _ = await scripts.claim_deliveries(0, token="c/1", want=2, each=2, lease_ms=60_000)
    return [delivery.id for delivery in taken]


async def deliver(bench: Bench, scripts: Scripts, **outcome: Any) -> bool:
    await plan(bench, bench.scripts)
    await bench.scripts.claim_deliveries(0, token="c/1", want=2, each=2, lease_ms=60_000)
    attempt = '{"at_ms":1,"took_ms":1,"status":200}'
    return await scripts.settle_delivery(
        0, delivery="d", token="c/1", attempt=attempt, keep_ms=60_000, **outcome
    )


@case
async def settle_delivery(bench: Bench, scripts: Scripts) -> Any:
    return await deliver(bench, scripts, state="delivered", delay_ms=0)


@case
async def settle_delivery__again_later(bench: Bench, scripts: Scripts) -> Any:
    return await deliver(bench, scripts, state="pending", delay_ms=60_000)


@case
async def redeliver(bench: Bench, scripts: Scripts) -> Any:
    await deliver(bench, bench.scripts, state="failed", delay_ms=0)
    return await scripts.redeliver(0, delivery="d", webhook="hook")


async def subscribe(bench: Bench, scripts: Scripts) -> bool:
    """Hand the one entry of the feed to a subscription."""
    start, end = await one_entry(bench)
    return await scripts.plan_subscription(
        0, name="n", group="g", start=start, end=end, messages=[("w1", '{"partitionkey":"w1"}')]
    )


async def take_event(scripts: Scripts) -> list[tuple[str, str, int]]:
    taken, _ = await scripts.claim_subscription(0, name="n", token="r/1", want=2, lease_ms=60_000)
    return taken


async def settle_event(scripts: Scripts, word: str) -> bool:
    return await scripts.settle_subscription(
        0, name="n", workflow="w1", token="r/1", word=word, delay_ms=60_000, reason="why"
    )


@case
async def plan_subscription(bench: Bench, scripts: Scripts) -> Any:
    return await subscribe(bench, scripts)


@case
async def claim_subscription(bench: Bench, scripts: Scripts) -> Any:
    await subscribe(bench, bench.scripts)
    return await take_event(scripts)


@case
async def settle_subscription(bench: Bench, scripts: Scripts) -> Any:
    await subscribe(bench, bench.scripts)
    await take_event(bench.scripts)
    return await settle_event(scripts, "done")


@case
async def settle_subscription__again_later(bench: Bench, scripts: Scripts) -> Any:
    await subscribe(bench, bench.scripts)
    await take_event(bench.scripts)
    return await settle_event(scripts, "again")


@case
async def settle_subscription__parks(bench: Bench, scripts: Scripts) -> Any:
    await subscribe(bench, bench.scripts)
    await take_event(bench.scripts)
    return await settle_event(scripts, "park")


@case
async def unpark(bench: Bench, scripts: Scripts) -> Any:
    await subscribe(bench, bench.scripts)
    await take_event(bench.scripts)
    await settle_event(bench.scripts, "park")
    ((name, _),) = await bench.log.redis.xrange(bench.log.keys.flow(0, "sub", "n", "parked"))
    return await scripts.unpark(0, name="n", ids=[name.decode()], drop=False)


@case
async def close_subscription(bench: Bench, scripts: Scripts) -> Any:
    await subscribe(bench, bench.scripts)
    await scripts.close_subscription(0, name="n", group="g")


RESTORED: dict[str, Any] = {
    "content": "c",
    "version": 1,
    "digest": "d",
    "entries": [["1-0", "type", "workflow.created", "data", "{}"]],
    "state": {"k": "1"},
    "blobs": {"b": "2"},
}
LAST: dict[str, Any] = {
    "entries": 1,
    "state": 1,
    "blobs": 1,
    "status": "completed",
    "running": 0,
    "name": "wf",
    "created": 1,
    "document": "{}",
    "steps": ["{}"],
    "jobs": {"a": ["j"]},
    "definition": "d",
    "graph": "{}",
    "log_ttl_ms": 60_000,
    "state_ttl_ms": 60_000,
    "schema": "1.1",
    "about": {"name": "wf", "tags": [("a", "b")]},
}


@case
async def restore(bench: Bench, scripts: Scripts) -> Any:
    return await scripts.restore("w2", **RESTORED)


@case
async def restore__completes(bench: Bench, scripts: Scripts) -> Any:
    await bench.scripts.restore("w2", **RESTORED)
    return await scripts.restore("w2", content="c", version=1, digest="d", last=LAST)


#: What is answered the second time where that is not the same: the work had been done.
SECOND_ANSWERS: dict[str, Any] = {
    "append": Duplicate(3),
    "append__creates": Duplicate(2),
    "commit": Duplicate(3),
    "commit__ends": Duplicate(3),
    "turn__settles": [("w1", "a", 0)],
    "sweep": [0, 0, 0],
    "hand_back": [0, 0, 0],
    "hand_back_others": [0, 0, 0],
    "project": 0,
    "delete": Missing(),
    "follow_feed": False,
    "plan_deliveries": False,
    "plan_subscription": False,
    "settle_subscription": False,
    "settle_subscription__again_later": False,
    "settle_subscription__parks": False,
    "unpark": 0,
    "restore__completes": "there",
    "settle_delivery": False,
    "settle_delivery__again_later": False,
}


class EventLogOf(EventLog):
    """The log of a bench, with other scripts."""

    def __init__(self, bench: Bench, scripts: Scripts) -> None:
        self.__dict__.update(bench.log.__dict__)
        self.scripts = scripts


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    log = EventLog(settings, settings.redis_url or "")
    yield log
    await log.close()


@pytest.fixture
async def way(settings: Settings) -> AsyncGenerator[tuple[Losing, EventLog], None]:
    """A way that loses replies, and a log that goes that way."""
    async with losing_way(settings.redis_url or "") as (lossy, url):
        log = EventLog(msgspec.structs.replace(settings, redis_url=url), url)
        yield lossy, log
        await log.close()


async def play(name: str, log: EventLog, scripts: Scripts) -> tuple[Any, dict[str, Any]]:
    """Play a case on an empty Redis; what was answered, and what Redis holds afterwards."""
    await log.redis.flushall()
    bench = Bench(log)
    await bench.create()
    await bench.own()
    answer = await CASES[name](bench, scripts)
    return answer, await contents(log.connection.wire)


@pytest.mark.parametrize("name", CASES)
async def test_lost_reply_leaves_what_one_call_leaves(
    name: str, log: EventLog, way: tuple[Losing, EventLog]
) -> None:
    lossy, far = way
    first, left = await play(name, log, log.scripts)
    lossy.lose_reply()

    again, found = await play(name, log, far.scripts)

    assert lossy.lost == 1
    assert found == left
    assert again == SECOND_ANSWERS.get(name, first)


def test_every_script_has_a_case() -> None:
    found = {name for name, _ in inspect.getmembers(Scripts, inspect.iscoroutinefunction)}
    public = {name for name in found if not name.startswith("_")}
    assert {name.partition("__")[0] for name in CASES} == public


async def test_call_whose_replies_are_lost_again_and_again_counts_once(
    log: EventLog, way: tuple[Losing, EventLog]
) -> None:
    lossy, far = way
    lossy.lose_reply(times=3)

    _, found = await play("change_state", log, far.scripts)

    assert lossy.lost == 3
    assert found["workflow:w1:state"] == (False, {b"n": b"1"})
