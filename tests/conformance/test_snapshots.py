"""Snapshots of long logs: made by the projector, used where the log has their entry."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from agentainer_flow import AsyncContext, Workflow, parallel, step, workflow
from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Definition, StepSpec
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections import snapshots
from agentainer_flow.projections.fold import fold
from agentainer_flow.projections.snapshots import load_view, read_snapshot
from agentainer_flow.projections.workflow import WorkflowView
from agentainer_flow.reactors.projector import Projector
from agentainer_flow.sdk import client
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.service import ROLES, Service
from agentainer_flow.sdk.verify import verify

from ..integration.bench import Bench

pytestmark = pytest.mark.anyio

DEFINITION = Definition("wf", (StepSpec("a"),))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, snapshot_every=10)


@pytest.fixture
async def bench(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A workflow with 20 events, of which pages hold five."""
    monkeypatch.setattr(snapshots, "PAGE", 5)
    bench = Bench(log)
    await bench.create()
    await append(bench, 18)
    return bench


async def append(bench: Bench, events: int) -> None:
    for number in range(events):
        change = {"op": "set", "key": f"k{number % 7}", "value": "1", "event": '"value":1'}
        await bench.scripts.change_state(bench.id, by="me", changes=[change])


async def show(bench: Bench) -> None:
    view = fold(bench.id, await bench.log.read(bench.id))
    await Projector(bench.log).write([(view, DEFINITION)])


async def kept(bench: Bench) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = await bench.log.redis.hgetall(f"workflow:{bench.id}:snapshot")
    return found


def plain(view: WorkflowView) -> WorkflowView:
    return msgspec.structs.replace(view, touched=set[str](), new_jobs=[])


async def check_view(bench: Bench) -> None:
    view = await load_view(bench.log, bench.id)
    assert plain(view) == plain(fold(bench.id, await bench.log.read(bench.id)))


async def test_the_projector_keeps_a_snapshot_and_readers_go_on_from_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await show(bench)
    assert (await kept(bench))[b"v"] == b"20"
    await append(bench, 3)
    await check_view(bench)
    read: list[int] = []
    original = bench.log.read

    async def note(workflow: str, *, after: int = 0, **more: Any) -> list[e.Recorded]:
        read.append(after)
        return await original(workflow, after=after, **more)

    monkeypatch.setattr(bench.log, "read", note)
    await load_view(bench.log, bench.id)
    assert read == [0, 19]


async def test_a_snapshot_only_moves_forward(bench: Bench) -> None:
    early = fold(bench.id, await bench.log.read(bench.id))
    await append(bench, 12)
    await show(bench)
    await Projector(bench.log).write([(early, DEFINITION)])
    assert (await kept(bench))[b"v"] == b"32"


async def test_short_logs_have_none(log: EventLog) -> None:
    bench = Bench(log)
    await bench.create()
    await show(bench)
    assert await kept(bench) == {}


@pytest.mark.parametrize("field", ["v", "dg", "view", "p"])
async def test_a_damaged_snapshot_is_ignored(bench: Bench, field: str) -> None:
    await show(bench)
    await bench.log.redis.hset(f"workflow:{bench.id}:snapshot", field, "7")
    assert await read_snapshot(bench.log, bench.id) is None
    await check_view(bench)


async def test_a_snapshot_of_a_log_that_was_rolled_back_is_ignored(bench: Bench) -> None:
    await show(bench)
    await bench.log.redis.xtrim(bench.log.keys.events(bench.id), maxlen=20)
    await bench.log.redis.xdel(bench.log.keys.events(bench.id), "20-0")
    view = await load_view(bench.log, bench.id)
    assert view.version == 19


async def test_no_snapshot_is_taken_of_a_log_that_was_rolled_back_and_grew_again(
    bench: Bench,
) -> None:
    view = fold(bench.id, await bench.log.read(bench.id))
    view.digest = "of a former log"
    await append(bench, 1)

    await Projector(bench.log).write([(view, DEFINITION)])

    assert not await kept(bench)


async def test_it_ends_with_the_workflow(bench: Bench) -> None:
    await show(bench)
    await bench.own()
    end = ("workflow.completed", "{}", None)
    await bench.commit(end, status="completed", version=20)
    await show(bench)
    assert await bench.log.redis.pttl(f"workflow:{bench.id}:snapshot") > 0


@workflow(name="snapshots")
class Wide(Workflow):
    @step()
    @parallel()
    async def each(self, context: AsyncContext, item: int) -> int:
        await context.state.incr("sum", item)
        return item

    @step()
    async def last(self, context: AsyncContext, each_results: list[int]) -> int:
        return sum(each_results)


async def test_a_successor_goes_on_from_a_snapshot(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines come and go; each takes the workflow over as the snapshot and the tail tell it."""
    monkeypatch.setattr(snapshots, "PAGE", 5)
    loaded: list[int] = []
    original = snapshots.read_snapshot

    async def note(log: EventLog, workflow: str) -> WorkflowView | None:
        found = await original(log, workflow)
        loaded.append(found.version if found else 0)
        return found

    monkeypatch.setattr(snapshots, "read_snapshot", note)
    async with connect(settings) as log:
        code = code_of(Wide)
        prepared = client.prepare(code, None, {"items": 300}, settings)
        workflow = await client.create(log, prepared)
        small = msgspec.structs.replace(settings, slots=4)
        while (await log.status(workflow)) == "running":
            stop = anyio.Event()
            async with connect(small) as own, anyio.create_task_group() as tasks:
                tasks.start_soon(Service(own, [code], roles=ROLES).run, stop)
                before = (await log.read_last(workflow)).version
                with anyio.move_on_after(20):
                    while (await log.read_last(workflow)).version < before + 100:
                        if await log.status(workflow) != "running":
                            break
                        await anyio.sleep(0.01)
                stop.set()
        ended = await log.read_last(workflow)
        assert isinstance(ended.event, e.WorkflowCompleted)
        assert bytes(ended.event.result) == b"44850"
        assert max(loaded) > 0


async def test_verify_compares_a_snapshot_with_the_log(bench: Bench) -> None:
    await show(bench)
    await append(bench, 3)
    assert await differences(bench) == []
    data = (await kept(bench))[b"view"]
    damaged = data.replace(b'"k1":[1,', b'"k1":[2,')
    assert damaged != data
    await bench.log.redis.hset(f"workflow:{bench.id}:snapshot", "view", damaged)
    assert await differences(bench) == ["snapshot at event 20, state.k1.0: expected 1, got 2"]


async def differences(bench: Bench) -> list[str]:
    """What `verify` says of the snapshot; this workflow has more that is odd."""
    found = (await verify(bench.log, bench.id)).findings
    return [one.text for one in found if "snapshot" in one.text]
