"""Imported histories: whole or not there, harmless when repeated, never moved or overwritten."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from agentainer_flow.core.answers import Ended
from agentainer_flow.core.errors import ImportRefused, Refused
from agentainer_flow.core.ids import digest
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections.bundle import decode_history, encode_history
from agentainer_flow.projections.histories import History, history_of
from agentainer_flow.projections.listing import list_workflows
from agentainer_flow.sdk import check as checking
from agentainer_flow.sdk import client, importing
from agentainer_flow.sdk.check import Question, check
from agentainer_flow.sdk.histories import read_history
from agentainer_flow.sdk.importing import import_history
from agentainer_flow.sdk.verify import verify_all
from tests.unit.histories import DEFINITION, Log, completed

pytestmark = pytest.mark.anyio

CORPUS = sorted(Path(__file__).parents[1].joinpath("histories").glob("*.agflow"))
LARGE = b'"' + b"x" * 200_000 + b'"'


@pytest.fixture
def history() -> History:
    return completed().history({digest(LARGE): LARGE})


async def exported(log: EventLog, workflow: str) -> bytes:
    return encode_history(await read_history(log, workflow, blobs=True))


async def test_every_history_comes_back_byte_for_byte(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "PAUSE", 0.01)
    for path in CORPUS:
        history = decode_history(path.read_bytes())
        assert await import_history(log, history) == "imported"
        assert await exported(log, history.workflow) == path.read_bytes()
    assert len(await list_workflows(log, limit=100)) == len(CORPUS)
    assert [one.findings async for one in verify_all(log)] == [[]] * len(CORPUS)
    assert (await check(log, Question())).violations == []


async def test_importing_again_changes_nothing(log: EventLog, history: History) -> None:
    assert await import_history(log, history) == "imported"
    keys = sorted(await log.redis.keys())
    assert await import_history(log, history) == "there"
    assert sorted(await log.redis.keys()) == keys


async def test_two_imports_at_once_come_to_one(log: EventLog, history: History) -> None:
    words: list[str] = []

    async def run() -> None:
        words.append(await import_history(log, history))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(run)
    assert sorted(words) == ["imported", "there", "there"]
    assert await exported(log, "w") == encode_history(history)


async def test_import_that_was_cut_off_goes_on(
    log: EventLog, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "ENTRIES", 4)
    whole = importing._Facts(history, history.fold())  # pyright: ignore[reportPrivateUsage]
    for portion in [*whole.portions()][:2]:
        assert await log.scripts.restore("w", **whole.head, **portion) == "restoring"
    assert not await log.exists("w")
    assert await list_workflows(log) == []
    assert all([await log.redis.ttl(key) > 0 for key in await log.redis.keys("workflow:*")])
    assert await log.scripts.restore("w", **whole.head, last=whole.last(9, 9)) == "incomplete"

    assert await import_history(log, history) == "imported"
    assert await exported(log, "w") == encode_history(history)
    assert await log.redis.keys("*restoring*") == []


async def test_another_workflow_of_that_id_stays_as_it_is(log: EventLog, history: History) -> None:
    other = Log()
    await import_history(log, other.history())
    before = await exported(log, "w")
    with pytest.raises(ImportRefused, match="there is a workflow w here already, with other"):
        await import_history(log, history)
    assert await exported(log, "w") == before


async def test_everything_of_an_import_ends(log: EventLog, settings: Settings) -> None:
    await import_history(log, Log().history())
    left = [await log.redis.ttl(key) for key in await log.redis.keys("workflow:*")]
    assert left
    assert all(settings.state_ttl - 60 < seconds <= settings.log_ttl for seconds in left)


async def test_commands_to_a_record_are_refused_in_words(log: EventLog) -> None:
    await import_history(log, Log().history())
    for command in (client.pause, client.resume, client.cancel, client.start):
        with pytest.raises(Refused, match="was imported: it is a record that nothing moves; fork"):
            await command(log, "w")
    changes = [{"op": "delete", "key": "k"}]
    outcome = await log.scripts.write_state("w", by="api", changes=changes, key="k")
    assert outcome == Ended("imported")
    await client.delete(log, "w")
    assert not await log.exists("w")


async def test_damaged_history_is_not_imported(log: EventLog, history: History) -> None:
    entries = history.entries[:4] + history.entries[5:]
    with pytest.raises(ImportRefused, match=r"its log is damaged.*event 5: it is missing"):
        await import_history(log, history_of("w", entries, DEFINITION.json, {}))
    assert await log.redis.keys("workflow:*") == []
