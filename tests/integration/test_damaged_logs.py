"""Damaged logs in Redis: what looks at them says so, shows the rest, and rewrites nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from agentainer_flow.cli.main import app
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections.bundle import decode_history
from agentainer_flow.sdk import check as checking
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.importing import import_history
from agentainer_flow.sdk.loop import run_loop

CORPUS = Path(__file__).parents[1] / "histories"
VERBS = (
    ["status"],
    ["events"],
    ["replay"],
    ["why"],
    ["diff", "1", "4"],
    ["blame", "status"],
    ["replay", "--at", "4"],
    ["logs"],
)

Damage = Callable[[Redis, str], Any]
BLESSED: Any = {"type": "task.blessed", "data": "{}", "ts": 1, "by": "x"}


def rewrite(redis: Redis, key: str, change: Callable[[int, dict[str, str]], Any]) -> None:
    """Write a log anew, with other entries."""
    entries: Any = redis.xrange(key)
    redis.delete(key)
    for name, fields in entries:
        change(int(name[:-2]), fields)
        redis.xadd(key, fields, id=name)


def cut_payload(redis: Redis, workflow: str) -> None:
    def change(version: int, fields: dict[str, str]) -> None:
        if version == 5:
            fields["data"] = fields["data"][:-4]

    rewrite(redis, f"workflow:{workflow}:events", change)


def lose_fields(redis: Redis, workflow: str) -> None:
    def change(version: int, fields: dict[str, str]) -> None:
        if version == 5:
            fields.clear()
            fields["mine"] = "1"

    rewrite(redis, f"workflow:{workflow}:events", change)


def lose_the_end(redis: Redis, workflow: str) -> None:
    key = f"workflow:{workflow}:events"
    redis.xdel(key, "13-0", "12-0")


def replace_by_text(part: str) -> Damage:
    def damage(redis: Redis, workflow: str) -> None:
        redis.delete(f"workflow:{workflow}{part}")
        redis.set(f"workflow:{workflow}{part}", "text")

    return damage


#: What is done to a workflow of 13 events, and what is told.
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a gap": (lambda r, w: r.xdel(f"workflow:{w}:events", "6-0"), "event 6: it is missing"),
    "no beginning": (
        lambda r, w: r.xdel(f"workflow:{w}:events", "1-0"),
        "the log begins with workflow.started, expected workflow.created",
    ),
    "a lost end": (lose_the_end, "the log has lost its end, which was event 13"),
    "a cut payload": (cut_payload, "event 5: its data cannot be read as task."),
    "an entry without our fields": (lose_fields, "event 5: it has no type and no data and no ts"),
    "an event of another release": (
        lambda r, w: r.xadd(f"workflow:{w}:events", BLESSED, "14-0"),
        "event 14: its type 'task.blessed' is none that this release knows",
    ),
    "no definition": (lambda r, w: r.delete("flow:definitions"), "its definition is missing"),
    "a definition of another kind": (
        lambda r, w: (r.delete("flow:definitions"), r.set("flow:definitions", "text")),
        "key flow:definitions is not a hash",
    ),
    "no meta": (
        lambda r, w: r.delete(f"workflow:{w}:meta"),
        "the key `meta` is missing or damaged",
    ),
    "meta of another kind": (replace_by_text(":meta"), ":meta is not a hash"),
    "a document of no JSON": (replace_by_text(""), "its document cannot be read"),
}


@pytest.fixture
def redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
    with Redis.from_url(settings.redis_url or "", decode_responses=True) as redis:
        yield redis


@pytest.fixture
def workflow(settings: Settings, redis: Redis) -> str:
    """One that ended well after a task was tried again."""
    return put(settings, "retried")


def put(settings: Settings, name: str) -> str:
    """Import a history, which is quicker than making it."""
    history = decode_history((CORPUS / f"{name}.agflow").read_bytes())

    async def put_it() -> None:
        async with connect(settings) as log:
            await import_history(log, history)

    run_loop(put_it)
    return history.workflow


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def contents(settings: Settings) -> dict[bytes, Any]:
    with Redis.from_url(settings.redis_url or "") as redis:
        keys: Any = redis.keys("*")
        return {key: redis.dump(key) for key in keys}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_and_the_rest_shown(
    redis: Redis, settings: Settings, workflow: str, name: str
) -> None:
    damage, words = DAMAGES[name]
    damage(redis, workflow)
    before = contents(settings)
    for verb, *arguments in VERBS:
        done = ask("workflow", verb, workflow, *arguments)
        assert done.exit_code == 0, (verb, done.output, done.exception)
        if verb != "logs":
            assert words in done.stderr
            assert done.stdout
    assert contents(settings) == before


@pytest.mark.parametrize("name", DAMAGES)
def test_verify_finds_it(redis: Redis, workflow: str, name: str) -> None:
    damage, words = DAMAGES[name]
    damage(redis, workflow)
    done = ask("workflow", "verify", workflow)
    assert done.exit_code == 1
    assert words in done.stdout


@pytest.mark.parametrize("name", sorted({*DAMAGES} - {"no definition"}))
def test_check_says_something_about_it(
    redis: Redis, workflow: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "PAUSE", 0.01)
    damage, _ = DAMAGES[name]
    damage(redis, workflow)
    done = ask("check", workflow)
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit), done.exception


def test_why_says_that_the_engine_has_set_it_aside(settings: Settings, redis: Redis) -> None:
    workflow = put(settings, "created-only")
    redis.hset(f"workflow:{workflow}:meta", "lane", "shared")
    assert "set it aside" not in ask("workflow", "why", workflow).stdout
    redis.xdel(f"workflow:{workflow}:events", "2-0")
    said = "The engine has set it aside, because its log is damaged: event 2: it is missing."
    assert said in ask("workflow", "why", workflow).stdout


def test_imported_workflow_is_not_waited_for(settings: Settings, redis: Redis) -> None:
    workflow = put(settings, "created-only")
    assert len(ask("workflow", "events", workflow, "--follow").stdout.splitlines()) == 3


def test_log_of_another_kind_of_key(redis: Redis, workflow: str) -> None:
    replace_by_text(":events")(redis, workflow)
    done = ask("workflow", "status", workflow)
    assert done.exit_code == 0
    assert "events is not a stream: nothing is read of it" in done.stderr


def test_damage_is_in_the_json_of_one_document(redis: Redis, workflow: str) -> None:
    redis.xdel(f"workflow:{workflow}:events", "6-0")
    done = ask("workflow", "status", workflow, "--json")
    assert '"problems":[{"version":6,"reason":"it is missing"}' in done.stdout


def test_list_shows_workflows_of_damaged_documents(redis: Redis, workflow: str) -> None:
    redis.set(f"workflow:{workflow}", "{no json")
    done = ask("workflow", "list", "--json")
    assert f'"id":"{workflow}"' in done.stdout


def test_damaged_workflow_can_be_exported(redis: Redis, workflow: str, tmp_path: Path) -> None:
    redis.xdel(f"workflow:{workflow}:events", "6-0")
    path = tmp_path / "damaged.agflow"
    assert ask("workflow", "export", workflow, "-o", str(path)).exit_code == 0
    done = ask("workflow", "replay", str(path))
    assert (done.exit_code, "event 6: it is missing" in done.stderr) == (0, True)
