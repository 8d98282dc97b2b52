"""Listings by status, name, tag and time, and what becomes of them."""

from __future__ import annotations

from itertools import count

import anyio
import msgspec
import pytest

from agentainer_flow.core.definition import Definition, StepSpec
from agentainer_flow.core.errors import InputError
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections.listing import list_workflows
from agentainer_flow.projections.pages import Filter, Page, Place, read_page
from agentainer_flow.projections.walk import walk
from agentainer_flow.sdk import client
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.creation import NewRun, check_tags, create_run
from agentainer_flow.sdk.retention import tidy

from .command import Command

pytestmark = pytest.mark.anyio

numbers = count()


async def create(log: EventLog, name: str = "wf", *, start: bool = True, **tags: str) -> str:
    definition = Definition(name, (StepSpec("a"),))
    workflow = f"id{next(numbers):05}"
    run = NewRun(workflow=workflow, definition=definition, inputs={}, tags=tags, start=start)
    client.check_outcome(workflow, await create_run(log, run))
    return workflow


async def listed(log: EventLog, wanted: Filter, limit: int = 100) -> list[str]:
    return [one.id for one in (await read_page(log, wanted, None, limit)).items]


async def test_lists_by_name_tags_and_status_together(log: EventLog) -> None:
    one = await create(log, "one", team="a", env="x")
    two = await create(log, "two", team="a")
    waiting = await create(log, "one", start=False, team="a")
    assert await listed(log, Filter(name="one")) == [waiting, one]
    assert await listed(log, Filter(tags={"team": "a"})) == [waiting, two, one]
    assert await listed(log, Filter(tags={"team": "a", "env": "x"})) == [one]
    assert await listed(log, Filter(status="created", name="one")) == [waiting]
    assert await listed(log, Filter(status="created", name="two")) == []


async def test_a_tag_may_hold_what_others_use_as_marks(log: EventLog) -> None:
    one = await create(log, start=True, **{"a=b": "c:d=e f"})
    assert await listed(log, Filter(tags={"a=b": "c:d=e f"})) == [one]
    assert await listed(log, Filter(tags={"a": "b=c:d=e f"})) == []


@pytest.mark.parametrize("tags", [{"a:b": "c"}, {"": "c"}, {"a": "x" * 257}, {"a": 1}, {"a": "\n"}])
def test_refuses_what_is_no_tag(tags: dict[str, str]) -> None:
    with pytest.raises(InputError, match="tag"):
        check_tags(tags)


async def test_lists_what_was_created_in_a_time(log: EventLog) -> None:
    before = await create(log)
    await anyio.sleep(0.002)
    since = (await list_workflows(log, limit=1))[0].created_at
    ms = round(since.timestamp() * 1000)
    after = await create(log)
    assert await listed(log, Filter(created_from=ms + 1)) == [after]
    assert await listed(log, Filter(created_to=ms + 1)) == [before]


@pytest.mark.parametrize("partitions", [1, 3])
async def test_pages_follow_one_another_and_hold_each_workflow_once(
    settings: Settings, partitions: int
) -> None:
    async with connect(msgspec.structs.replace(settings, partitions=partitions)) as log:
        made = [await create(log, "one" if n % 3 else "two", team="a") for n in range(60)]
        wanted = [one for n, one in enumerate(made) if n % 3]
        found: list[str] = []
        page = Page([], None)
        after: Place | None = None
        while not found or after:
            page = await read_page(log, Filter(name="one", tags={"team": "a"}), after, 7)
            found += [one.id for one in page.items]
            after = page.next
        assert sorted(found) == sorted(wanted)
        assert len(set(found)) == len(found)


async def test_a_walk_goes_on_below_its_end(log: EventLog) -> None:
    made = [await create(log) for _ in range(5)]
    first = await walk(log, Filter(), None, 2)
    assert [one.id for one in first.places] == made[:2:-1]
    second = await walk(log, Filter(), first.next, 10)
    assert [one.id for one in second.places] == made[2::-1]
    assert second.next is None


async def test_deleted_workflows_leave_all_listings(log: EventLog) -> None:
    one = await create(log, "gone", start=False, team="a")
    await client.delete(log, one)
    keys = [key.decode() async for key in log.redis.scan_iter(match="flow:0:*")]
    assert [key for key in keys if "workflows" in key or "named" in key or "tagged" in key] == []


async def test_expired_workflows_are_passed_over_and_tidied(log: EventLog) -> None:
    gone, stays = await create(log, "wf", team="a"), await create(log, "wf", team="a")
    await log.redis.delete(log.keys.events(gone), log.keys.workflow(gone, "meta"))
    assert await listed(log, Filter(tags={"team": "a"})) == [stays]
    assert await tidy(log, 0, dry_run=True) == 4
    assert await tidy(log, 0) == 4
    assert await log.redis.zrange("flow:0:tagged:team:a", 0, -1) == [stays.encode()]


def test_the_command_lists_by_tag_and_age(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7", "--tag", "team=search", "--tag", "env=x")
    cli.run("Greet", "-i", "name=8", "--tag", "team=other")

    def tags(*arguments: str) -> list[dict[str, str]]:
        return [one["tags"] for one in cli.ask("workflow", "list", *arguments)]

    assert tags("--tag", "team=search") == [{"team": "search", "env": "x"}]
    assert tags("--tag", "team=search", "--tag", "env=y") == []
    assert len(tags("--since", "2h", "--name", "greet")) == 2
    assert tags("--before", "2h") == tags("--older-than", "1h") == []
    assert len(tags("--before", "2999-01-01")) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "soon"],
        ["--older-than", "2"],
        ["--tag", "x"],
        ["--before", "1h", "--older-than"],
    ],
)
def test_refuses_what_is_no_filter(cli: Command, arguments: list[str]) -> None:
    assert cli("workflow", "list", *arguments).returncode == 2
