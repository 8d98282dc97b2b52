"""`agentainer workflow export`, `import` and `verify`, and the commands that take a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from agentainer_flow.core.settings import Settings

from .command import Command

#: A port of this machine on which nothing listens: what takes a file needs no Redis.
NOWHERE = {"AGENTAINER_REDIS_URL": "redis://127.0.0.1:1"}


@pytest.fixture
def file(cli: Command) -> Path:
    """An exported workflow that failed."""
    cli.run("Broken")
    done = cli("workflow", "export", "last", "-o", "run.agflow")
    assert done.returncode == 0, done.stderr
    return cli.folder / "run.agflow"


@pytest.fixture
def redis(settings: Settings) -> Redis:
    return Redis.from_url(settings.redis_url or "", decode_responses=True)


def test_round_trip_through_another_redis_gives_the_same_bytes(
    cli: Command, file: Path, redis: Redis
) -> None:
    redis.flushall()
    imported = cli.ask("workflow", "import", str(file))
    assert imported["outcome"] == "imported"
    cli("workflow", "export", imported["id"], "-o", "again.agflow")
    assert (cli.folder / "again.agflow").read_bytes() == file.read_bytes()


def test_imported_workflow_is_listed_and_looked_at(cli: Command, file: Path, redis: Redis) -> None:
    before = cli.ask("workflow", "status", "last")
    redis.flushall()
    cli("workflow", "import", str(file))
    assert [one["status"] for one in cli.ask("workflow", "list")] == ["failed"]
    assert cli.ask("workflow", "status", "last") == before
    assert "It was imported: it is a record" in cli("workflow", "why", "last").stdout
    assert cli("check", "--all").returncode == 0
    assert cli("workflow", "verify", "--all").returncode == 0


def test_importing_again_is_harmless(cli: Command, file: Path) -> None:
    done = cli("workflow", "import", str(file))
    assert (done.returncode, "is here already" in done.stderr) == (0, True)


def test_import_never_overwrites(cli: Command, file: Path, redis: Redis) -> None:
    workflow = cli.ask("workflow", "status", "last")["id"]
    redis.hset(f"workflow:{workflow}:meta", "dg", "other")
    done = cli("workflow", "import", str(file))
    assert done.returncode == 1
    assert f"there is a workflow {workflow} here already, with other content" in done.stderr


def test_imported_workflow_under_way_is_never_moved(cli: Command, redis: Redis) -> None:
    workflow = cli.start("Gated", "-i", "gate=x")
    cli("workflow", "export", workflow, "-o", "run.agflow")
    redis.flushall()
    cli("workflow", "import", "run.agflow")
    serving = cli.up()
    for verb in ("pause", "cancel"):
        done = cli("workflow", verb, workflow)
        assert (done.returncode, "was imported: it is a record" in done.stderr) == (1, True)
    assert cli.status(workflow) == "running"
    assert cli("check", "--all").stdout.endswith("Nothing is wrong.\n")
    assert serving.stop() == 0


@pytest.mark.parametrize("verb", ["status", "events", "replay", "why", "verify"])
def test_verbs_that_look_take_a_file(cli: Command, file: Path, verb: str) -> None:
    here = cli("workflow", verb, "last", "--json").stdout
    there = cli("workflow", verb, str(file), "--json", **NOWHERE)
    assert there.returncode == 0, there.stderr
    assert there.stdout == here


def test_moments_and_paths_of_a_file(cli: Command, file: Path) -> None:
    assert "As it was after event 2 of" in cli("workflow", "replay", str(file), "--at", "2").stdout
    assert cli("workflow", "diff", str(file), "1", "2").stdout == "status  created -> running\n"
    assert cli("workflow", "blame", str(file), "status").returncode == 0


def cut(lines: list[bytes]) -> list[bytes]:
    return lines[:4]


def change(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[5].replace(b"ts", b"st"), *lines[6:]]


def lose(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], *lines[6:]]


def replace(lines: list[bytes]) -> list[bytes]:
    return [b"{}"]


def update(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b'version":1', b'version":9'), *lines[1:]]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "line 4 (event 2): the line has no end: it is cut off"),
        (change, "line 6 (event 4): the line was changed"),
        (lose, "line 6 (event 5): a line is missing before this one"),
        (update, "line 1: it has format version 9, this release reads up to 1: use a newer one"),
        (replace, "line 1: it is no exported history"),
    ],
)
def test_damaged_file_is_refused_with_the_place(
    cli: Command, file: Path, damage: Any, said: str
) -> None:
    file.write_bytes(b"\n".join(damage(file.read_bytes().split(b"\n"))))
    for verb in ("import", "replay", "verify"):
        done = cli("workflow", verb, str(file))
        assert done.returncode == 1
        assert said in done.stderr


def test_file_that_is_not_there(cli: Command) -> None:
    done = cli("workflow", "replay", "nowhere.agflow")
    assert (done.returncode, "there is no file nowhere.agflow" in done.stderr) == (3, True)


def test_verify_tells_what_is_wrong(cli: Command, redis: Redis) -> None:
    cli.run("Greet", "-i", "name=7")
    assert "  ok  " in cli("workflow", "verify", "last").stdout
    workflow = cli.ask("workflow", "status", "last")["id"]
    redis.zrem("flow:0:workflows:completed", workflow)
    done = cli("workflow", "verify", "last", "--projections", "--json")
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)["findings"]
    assert "listing by status" in found["text"]
    assert cli("workflow", "verify", "last", "--decisions").returncode == 0


def test_verify_wants_something(cli: Command) -> None:
    assert cli("workflow", "verify").returncode == 2
    assert cli("workflow", "verify", "--all").returncode == 0
