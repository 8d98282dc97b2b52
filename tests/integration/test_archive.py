"""Finished workflows go to the archive, open from there, and are nowhere lost in between."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis

from agentainer_flow import AsyncContext, Workflow, step, workflow
from agentainer_flow.core.archive import PART, open_storage
from agentainer_flow.core.errors import ArchiveUnavailable, Refused, SettingsError
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk import archiver, client
from agentainer_flow.sdk.archiver import archive_due
from agentainer_flow.sdk.check import Question, check
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.gc import collect
from agentainer_flow.sdk.handle import Handle
from agentainer_flow.sdk.histories import read_history
from agentainer_flow.sdk.retention import tidy
from agentainer_flow.sdk.runner import arun

from .command import Command, eventually

pytestmark = pytest.mark.anyio


@workflow(name="archived")
class Large(Workflow):
    @step()
    async def make(self, context: AsyncContext, size: int) -> str:
        return "x" * size


@workflow(name="brief", log_ttl=60, state_ttl="2m")
class Brief(Workflow):
    @step()
    async def say(self, context: AsyncContext) -> None:
        await context.state.set("said", True)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return msgspec.structs.replace(settings, archive=str(tmp_path / "archive"), log_ttl=0.001)


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    async with connect(settings) as log:
        yield log


async def run(log: EventLog, size: int = 1) -> str:
    await arun(Large(), {"size": size}, log.settings, tags={"team": "a"})
    return await newest(log)


async def newest(log: EventLog) -> str:
    found: list[bytes] = await log.redis.zrevrange("flow:0:workflows", 0, 0)
    return found[0].decode()


def files(settings: Settings) -> list[Path]:
    return sorted(path for path in Path(settings.archive or "").rglob("*") if path.is_file())


async def keys_of(log: EventLog, workflow: str) -> list[str]:
    base = f"workflow:{workflow}"
    found = [key.decode() async for key in log.redis.scan_iter(match=f"{base}*")]
    return sorted(key.removeprefix(base) for key in found)


async def test_an_ended_workflow_waits_for_the_archive(log: EventLog) -> None:
    one = await run(log)
    assert await log.redis.pttl(log.keys.events(one)) == -1
    assert await log.redis.zscore("flow:0:archivable", one) is not None
    assert (await check(log, Question())).clean


async def test_an_archived_workflow_opens_as_before(log: EventLog) -> None:
    one = await run(log, 100_000)
    events, before = await log.read(one), await read_history(log, one, blobs=True)
    document = await Handle(one, log.settings).document()
    done = await archive_due(log, 0)
    assert (done.count, len(files(log.settings)), done.kept) == (1, 1, [])
    assert done.file_bytes == files(log.settings)[0].stat().st_size
    assert await keys_of(log, one) == [":archived"]

    assert await log.read(one) == events
    assert await log.read(one, after=3, limit=2, archived=True) == events[3:5]
    after = await read_history(log, one, blobs=True)
    assert (after.entries, after.blobs) == (before.entries, before.blobs)
    assert await Handle(one, log.settings).document() == document
    assert await Handle(one, log.settings).result() == "x" * 100_000
    assert [one async for one in Handle(one, log.settings).events()] == events
    assert (await check(log, Question())).clean


async def test_archiving_again_does_nothing(log: EventLog) -> None:
    await run(log)
    await archive_due(log, 0)
    assert (await archive_due(log, 0)).count == 0


class Killed(BaseException):
    """No error that anybody catches."""


async def test_a_crash_between_writing_and_letting_go_loses_nothing(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await run(log)
    events = await log.read(one)
    with monkeypatch.context() as patch:
        patch.setattr(archiver, "encode_tombstone", _interrupt)
        with pytest.raises(Killed):
            await archive_due(log, 0)
    assert len(files(log.settings)) == 1
    assert await log.read(one) == events
    assert (await archive_due(log, 0)).count == 1
    assert len(files(log.settings)) == 1
    assert await log.read(one) == events


def _interrupt(*args: object) -> bytes:
    raise Killed


async def test_a_file_that_does_not_read_back_lets_nothing_go(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await run(log)
    other = gzip.compress(b"other")

    def read(self: object, path: str) -> bytes:
        return other

    monkeypatch.setattr("agentainer_flow.core.archive._Folder.read", read)
    done = await archive_due(log, 0)
    assert (done.count, done.kept[0].workflow) == (0, one)
    assert "does not read back" in done.kept[0].reason
    assert await log.redis.exists(log.keys.events(one))


async def test_a_damaged_log_stays_and_holds_nobody_up(log: EventLog) -> None:
    damaged, sound = await run(log), await run(log)
    await log.redis.xdel(log.keys.events(damaged), "3-0")
    done = await archive_due(log, 0)
    assert (done.count, [one.workflow for one in done.kept]) == (1, [damaged])
    assert "damaged" in done.kept[0].reason
    assert await log.redis.exists(log.keys.events(damaged), log.keys.events(sound)) == 1


async def test_a_log_that_goes_on_is_not_let_go(log: EventLog) -> None:
    one = await run(log)
    last = await log.read_last(one)
    word = await log.scripts.archive(
        one, version=last.version - 1, digest=last.digest, tombstone="{}", steps=[], jobs=[]
    )
    assert word == "moved"
    assert await log.redis.exists(log.keys.events(one))


async def test_commands_and_the_same_id_are_refused(log: EventLog) -> None:
    one = await run(log)
    await archive_due(log, 0)
    with pytest.raises(Refused, match="completed"):
        await client.pause(log, one)


async def test_deleting_takes_the_file_too(log: EventLog) -> None:
    one = await run(log)
    await archive_due(log, 0)
    await client.delete(log, one)
    assert (files(log.settings), await keys_of(log, one)) == ([], [])
    assert await log.redis.exists("flow:0:named:archived", "flow:0:tagged:team:a") == 0


async def test_a_missing_archive_is_told(log: EventLog) -> None:
    one = await run(log)
    await archive_due(log, 0)
    files(log.settings)[0].unlink()
    with pytest.raises(ArchiveUnavailable, match="AGENTAINER_ARCHIVE says where"):
        await read_history(log, one)


async def test_what_ended_before_there_was_an_archive_is_held(settings: Settings) -> None:
    without = msgspec.structs.replace(settings, archive=None, log_ttl=600)
    async with connect(without) as log:
        one = await run(log)
        assert await log.redis.pttl(log.keys.events(one)) > 0
    async with connect(settings) as log:
        await tidy(log, 0)
        assert await log.redis.pttl(log.keys.events(one)) == -1
        assert (await archive_due(log, 0)).waiting == 1


async def test_a_definition_says_how_long_its_runs_are_kept(settings: Settings) -> None:
    async with connect(msgspec.structs.replace(settings, archive=None)) as log:
        await arun(Brief(), {}, log.settings)
        one = await newest(log)
        assert 50_000 < await log.redis.pttl(log.keys.events(one)) <= 60_000
        assert 110_000 < await log.redis.pttl(log.keys.workflow(one, "state")) <= 120_000


async def test_any_file_system_of_fsspec_will_do(settings: Settings) -> None:
    async with connect(msgspec.structs.replace(settings, archive="memory://flows")) as log:
        one = await run(log)
        events = await log.read(one)
        assert (await archive_due(log, 0)).count == 1
        assert await log.read(one) == events
        await client.delete(log, one)


def test_a_scheme_that_nobody_knows_is_told() -> None:
    with pytest.raises(SettingsError, match="AGENTAINER_ARCHIVE: nowhere://x cannot be opened"):
        open_storage("nowhere://x")


async def test_garbage_is_counted_and_collected(log: EventLog) -> None:
    one = await run(log)
    await log.redis.hset("workflow:gone:jobs", "j", "{}")
    await log.redis.set("workflow:gone", "{}")
    await log.redis.set("workflow:leaves:blobs", "x", ex=600)
    await log.redis.zadd("flow:0:workflows", {"gone": 1})
    seen = await collect(log, dry_run=True)
    assert (seen.archived.count, seen.members, seen.leftovers) == (1, 1, 2)
    assert await log.redis.exists(log.keys.events(one), "workflow:gone") == 2
    done = await collect(log)
    assert (done.archived.count, done.members, done.leftovers) == (1, 1, 2)
    assert done.leftover_bytes == seen.leftover_bytes > 0
    assert await keys_of(log, "gone") == []
    assert await log.redis.exists("workflow:leaves:blobs")
    again = await collect(log)
    assert (again.archived.count, again.members, again.leftovers) == (0, 0, 0)


async def test_files_that_were_never_finished_are_cleared(log: EventLog) -> None:
    await run(log)
    await archive_due(log, 0)
    (whole,) = files(log.settings)
    old, new = (whole.with_name(f".{name}{PART}") for name in ("old", "new"))
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    assert (await collect(log, dry_run=True)).parts == 1
    assert (await collect(log)).parts == 1
    assert files(log.settings) == sorted([new, whole])


def archiving(cli: Command) -> Path:
    folder = cli.folder / "archive"
    cli.environment |= {"AGENTAINER_ARCHIVE": str(folder), "AGENTAINER_LOG_TTL": "0.001s"}
    return folder


def test_the_commands_open_what_is_archived(cli: Command) -> None:
    archiving(cli)
    cli.run("Greet", "-i", "name=7")
    shown = {verb: cli("workflow", verb, "last").stdout for verb in ("status", "replay", "events")}
    assert "1 would be archived" in cli("gc", "--dry-run").stdout
    found = cli.ask("gc")
    assert (found["archived"]["count"], found["archived"]["kept"]) == (1, [])
    for verb, text in shown.items():
        assert cli("workflow", verb, "last").stdout == text
    assert cli.ask("workflow", "list", "--name", "greet")[0]["archived"] is True
    assert "completed (archived)" in cli("workflow", "list").stdout
    assert cli("workflow", "export", "last", "-o", "it.agflow").returncode == 0
    assert cli("workflow", "pause", "last").returncode == 1
    assert cli("workflow", "verify", "last").returncode == 0
    assert cli.ask("workflow", "why", "last")[0]["text"].startswith("It completed")


def test_whoever_serves_archives_what_is_due(cli: Command) -> None:
    folder = archiving(cli)
    cli.run("Greet", "-i", "name=7")
    reactors = cli.begin("reactors", "--only", "janitor")
    eventually(lambda: len([*folder.rglob("*.agflow.gz")]) == 1)
    eventually(lambda: not names_in(cli, "workflow:*:events"))
    reactors.stop()


def test_an_archiver_that_is_killed_loses_nothing(cli: Command) -> None:
    """Killed again and again at any moment: every log is here or in the archive, whole."""
    folder = archiving(cli)
    workflow = _copies(cli, 300)
    for _ in range(5):
        _kill_halfway(cli, folder)
    assert cli("gc").returncode == 0
    assert len(names_in(cli, "workflow:*:archived")) == 301
    assert names_in(cli, "workflow:*:events") == []
    assert cli("workflow", "status", workflow).returncode == 0
    assert len([*folder.rglob("*.agflow.gz")]) == 301


def names_in(cli: Command, pattern: str) -> list[str]:
    """The keys there are."""
    with Redis.from_url(cli.environment["AGENTAINER_REDIS_URL"]) as client:
        redis: Any = client
        return sorted(key.decode() for key in redis.scan_iter(match=pattern))


def _kill_halfway(cli: Command, folder: Path) -> None:
    before = len([*folder.rglob("*.agflow.gz")])
    killed = cli.begin("gc")
    eventually(lambda: len([*folder.rglob("*.agflow.gz")]) > before or killed.process.poll() == 0)
    killed.signal(signal.SIGKILL)
    killed.end()


def _copies(cli: Command, count: int) -> str:
    """Copies of a workflow that ended; all are due."""
    cli.run("Greet", "-i", "name=7")
    workflow: str = cli.ask("workflow", "list")[0]["id"]
    names = names_in(cli, f"workflow:{workflow}*")
    with Redis.from_url(cli.environment["AGENTAINER_REDIS_URL"]) as redis:
        for number in range(count):
            for name in names:
                copy = name.replace(workflow, f"copy{number:05}")
                redis.copy(name, copy)
                if copy == f"workflow:copy{number:05}":
                    document: Any = redis.get(copy)
                    redis.set(copy, json.dumps({**json.loads(document), "id": copy[9:]}))
            redis.zadd("flow:0:archivable", {f"copy{number:05}": 1})
    return workflow
