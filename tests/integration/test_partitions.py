"""How many partitions there are is fixed once; everything looks at all of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator
from typing import Any
from zlib import crc32

import anyio
import anyio.lowlevel
import msgspec
import pytest
from redis import Redis

from agentainer_flow import AsyncContext, Workflow, parallel, step, workflow
from agentainer_flow.core.errors import SettingsError
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings, load_settings
from agentainer_flow.sdk import client, connections
from agentainer_flow.sdk.check_keys import KeyReader, unowned
from agentainer_flow.sdk.handle import Handle
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.service import Service
from tests.fundamentals.serving import serving

from .command import Command, eventually

pytestmark = pytest.mark.anyio


def asking_for(settings: Settings, partitions: int | None, **more: Any) -> Settings:
    return msgspec.structs.replace(settings, partitions=partitions, **more)


async def number(settings: Settings) -> int:
    async with connections.connect(settings) as log:
        return log.keys.partitions


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    async with connections.connect(asking_for(settings, 3)) as log:
        yield log


async def test_the_first_use_fixes_the_number(settings: Settings) -> None:
    assert await number(asking_for(settings, 3)) == 3
    assert await number(asking_for(settings, 3)) == 3
    assert await number(settings) == 3


async def test_whoever_asks_for_none_gets_one_partition(settings: Settings) -> None:
    assert await number(settings) == 1
    with pytest.raises(SettingsError, match=r"AGENTAINER_PARTITIONS: expected 1, .* got 3. Unset"):
        await number(asking_for(settings, 3))


async def test_each_namespace_has_a_number_of_its_own(settings: Settings) -> None:
    assert await number(asking_for(settings, 3)) == 3
    assert await number(asking_for(settings, 2, namespace="other")) == 2


@pytest.mark.parametrize("text", ["0", "-1", "257", "many"])
def test_a_number_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"(?i)partitions"):
        load_settings({"AGENTAINER_PARTITIONS": text})


async def test_check_finds_keys_of_no_partition(log: EventLog) -> None:
    await log.redis.sadd("flow:2:active", "w1")
    await log.redis.sadd("flow:3:active", "w1")
    names = await KeyReader(log).names()
    (violation,) = unowned(names, log.keys.partitions)
    assert violation.text == "key flow:3:active is in none of the 3 partitions"


@pytest.fixture
def three(cli: Command) -> Command:
    """The command on a Redis with three partitions; one use fixes that."""
    cli("workflow", "list", AGENTAINER_PARTITIONS="3")
    return cli


def test_runs_in_process_end_in_any_partition(three: Command) -> None:
    for _ in range(4):
        assert three.run("Greet", "-i", "name=7").returncode == 0
    checked = three.ask("check", "--all")
    assert (checked["clean"], checked["counts"]["ended"]) == (True, 4)


def test_listings_look_at_all_partitions(three: Command) -> None:
    ids = [three.start("Greet", "-i", "name=8") for _ in range(9)]
    assert {one["id"] for one in three.ask("workflow", "list")} == set(ids)
    for name in ids:
        assert three.ask("workflow", "status", name[:-2])["id"] == name


def test_check_finds_a_workflow_that_is_not_where_it_belongs(
    three: Command, settings: Settings
) -> None:
    three.run("Greet", "-i", "name=7")
    workflow = three.ask("workflow", "status", "last")["id"]
    home = crc32(workflow.encode()) % 3
    with Redis.from_url(settings.redis_url or "") as redis:
        redis.rename(f"flow:{home}:workflows", f"flow:{(home + 1) % 3}:workflows")
    done = three("check", "--all", "--json")
    said = f"it belongs to partition {home} and is listed in {(home + 1) % 3}"
    assert (done.returncode, said in done.stdout) == (1, True)


def test_doctor_looks_at_all_partitions(three: Command) -> None:
    ids = [three.start("Gated", "-i", f"gate={three.gate}") for _ in range(6)]
    partitions = sorted({crc32(name.encode()) % 3 for name in ids})
    done = three("doctor", "--json")
    lanes = json.loads(done.stdout)["facts"]["lanes"]
    assert [lane["partition"] for lane in lanes if lane["workflows"]] == partitions
    assert (done.returncode, sum(lane["workflows"] for lane in lanes)) == (1, 6)

    three.up()
    eventually(lambda: sum(one["claimed"] for one in members(three, "worker")) == 6)
    three.begin("reactors").wait_for("ready", "err")
    eventually(lambda: shares(three) == [1, 2])
    (worker,) = members(three, "worker")
    assert (worker["claimed"], worker["slots"]) == (6, 100)
    table = three("doctor")
    assert (table.returncode, table.stdout.count("scheduler (owns ")) == (0, 2)
    assert "scheduler (owns 2 of 3 lanes)" in table.stdout
    assert "6 under way" in table.stdout

    three.gate.touch()
    eventually(lambda: len(three.ask("workflow", "list", "--status", "completed")) == 6)
    assert three.ask("check", "--all")["counts"]["ended"] == 6


def members(three: Command, role: str) -> list[dict[str, Any]]:
    report = json.loads(three("doctor", "--json").stdout)
    return [one for one in report["facts"]["members"] if one["role"] == role]


def shares(three: Command) -> list[int]:
    return sorted(len(one["owns_lanes"]) for one in members(three, "scheduler"))


class Gauge:
    """How many tasks run in this process, and how many at most did."""

    now = most = 0


@workflow(name="partitioned")
class Partitioned(Workflow):
    @step()
    @parallel()
    async def work(self, context: AsyncContext, item: int) -> int:
        Gauge.now += 1
        Gauge.most = max(Gauge.most, Gauge.now)
        await anyio.lowlevel.checkpoint()
        Gauge.now -= 1
        return item

    @step()
    async def total(self, context: AsyncContext, work_results: list[int]) -> int:
        return sum(work_results)


async def start_in(log: EventLog, partition: int, *, items: int) -> Handle:
    """Start a workflow that belongs to this partition."""
    for number in itertools.count():
        key = f"{partition}/{number}"
        prepared = client.prepare(
            code_of(Partitioned), None, {"items": items}, log.settings, key=key
        )
        if log.keys.partition(prepared.workflow) == partition:
            return Handle(await client.create(log, prepared), log.settings)
    raise AssertionError


async def test_one_process_serves_all_partitions_with_the_slots_of_one(log: EventLog) -> None:
    Gauge.most = 0
    handles = [await start_in(log, partition, items=40) for partition in range(3)]
    async with serving(asking_for(log.settings, 3, slots=2), Partitioned):
        assert [await handle.result(timeout=60) for handle in handles] == [780, 780, 780]
    assert Gauge.most == 2


async def test_a_busy_partition_leaves_slots_to_the_others(log: EventLog) -> None:
    large = await start_in(log, 0, items=3000)
    async with serving(asking_for(log.settings, 3, slots=1), Partitioned):
        async for recorded in large.events():
            if recorded.type == "task.completed":
                break
        small = [await start_in(log, partition, items=3) for partition in (1, 2)]
        assert [await handle.result(timeout=60) for handle in small] == [3, 3]
        assert await large.status() == "running"


async def test_a_redis_that_was_emptied_keeps_its_number(log: EventLog) -> None:
    settings = asking_for(log.settings, 3)
    async with serving(settings, Partitioned):
        await log.redis.flushall()
        with anyio.fail_after(20):
            while not await log.redis.exists("flow:partitions"):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        handles = [await start_in(log, partition, items=3) for partition in range(3)]
        assert [await handle.result(timeout=30) for handle in handles] == [3, 3, 3]
    assert await number(settings) == 3


async def test_a_process_ends_where_another_number_was_fixed_meanwhile(log: EventLog) -> None:
    await log.redis.set("flow:partitions", 2)
    with pytest.raises(ExceptionGroup) as raised, anyio.fail_after(20):
        await Service(log).run()
    assert raised.group_contains(SettingsError, match="expected 2, .* got 3")
