"""`agentainer list`, and `agentainer workflow list`, `status`, `events` and `logs`."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from redis import Redis

from agentainer_flow.core.settings import Settings

from .command import FLOWS, PROGRAM, Command, eventually


def listed(cli: Command, *arguments: str) -> list[Any]:
    return [one["name"] for one in cli.ask("workflow", "list", *arguments)]


def test_lists_the_newest_first(cli: Command) -> None:
    cli.run("Broken")
    cli.run("Greet", "-i", "name=7")
    head, first, second = cli("workflow", "list").stdout.splitlines()
    assert head.split() == ["ID", "NAME", "STATUS", "STEPS", "AGE", "DURATION"]
    assert first.split()[1:4] == ["greet", "completed", "1/1"]
    assert second.split()[1:4] == ["broken", "failed", "0/1"]


def test_lists_by_status_name_and_number(cli: Command) -> None:
    cli.start("Gated", "-i", "gate=x")
    cli.run("Broken")
    cli.run("Greet", "-i", "name=7")
    assert listed(cli, "--status", "failed") == ["broken"]
    assert listed(cli, "--status", "running") == ["gated"]
    assert listed(cli, "--name", "greet") == ["greet"]
    assert listed(cli, "--limit", "2") == ["greet", "broken"]


def test_passes_over_what_has_expired(cli: Command, settings: Settings) -> None:
    cli.start("Gated", "-i", "gate=x")
    with Redis.from_url(settings.redis_url or "") as redis:
        redis.zadd("flow:0:workflows", {"01expired": 9e12})
    assert listed(cli) == ["gated"]


def test_refuses_a_status_that_does_not_exist(cli: Command) -> None:
    done = cli("workflow", "list", "--status", "happy")
    assert done.returncode == 2
    assert "expected created, running" in done.stderr


def test_says_that_there_is_nothing(cli: Command) -> None:
    assert cli("workflow", "list").stdout == "no workflows\n"
    assert cli("list").stdout.startswith("no agents")
    assert cli("workflow", "status", "last").returncode == 3


def test_status_shows_steps_agents_and_why_it_failed(cli: Command) -> None:
    cli.run("Broken")
    shown = cli("workflow", "status", "last").stdout
    for part in ("0/1 done, 1 failed", "crash-0-bad", "exited with code 7", "  | a bad thing"):
        assert part in shown


def test_status_as_json_is_the_document_with_its_agents(cli: Command) -> None:
    cli.run("Chatty", "-i", 'items=["a", "b"]')
    document = cli.ask("workflow", "status", "last")
    assert (document["status"], document["steps"][0]["tasks"]["completed"]) == ("completed", 2)
    assert [job["status"] for job in document["jobs"]] == ["succeeded", "succeeded"]


def test_finds_a_workflow_by_the_beginning_of_its_id(cli: Command) -> None:
    workflow = cli.start("Gated", "-i", "gate=x")
    assert cli.ask("workflow", "status", workflow[:-3])["id"] == workflow


def test_lists_the_ids_that_a_beginning_could_mean(cli: Command) -> None:
    ids = [cli.start("Gated", "-i", "gate=x") for _ in range(2)]
    done = cli("workflow", "status", ids[0][:2])
    assert done.returncode == 2
    assert all(workflow in done.stderr for workflow in ids)


def test_an_id_that_does_not_exist_is_not_found(cli: Command) -> None:
    for verb in ("status", "events", "logs", "cancel"):
        done = cli("workflow", verb, "0*")
        assert (done.returncode, done.stdout) == (3, "")
        assert "no workflow '0*'" in done.stderr


def test_events_are_one_line_each(cli: Command) -> None:
    cli.run("Broken")
    lines = cli("workflow", "events", "last").stdout.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert "workflow.created" in lines[0]
    assert "crash[0]: AgentFailed: agent crash-0-bad failed" in lines[-1]


def test_events_as_json_are_one_document_each(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    lines = cli("workflow", "events", "last", "--after", "3", "--json").stdout.splitlines()
    first, *_, last = [json.loads(line) for line in lines]
    assert (first["version"], first["type"]) == (4, "task.started")
    assert last["data"] == {"result": "hello 7"}


def test_events_are_followed_to_the_end_of_the_run(cli: Command) -> None:
    cli.start("Greet", "-i", "name=7")
    follower = cli.begin("workflow", "events", "last", "--follow")
    follower.wait_for("workflow.started")
    cli.up()
    assert follower.end() == 0
    assert "workflow.completed" in follower.out.splitlines()[-1]


def test_logs_stand_behind_their_agent(cli: Command) -> None:
    cli.run("Chatty", "-i", 'items=["a", "b"]')
    lines = cli("workflow", "logs", "last").stdout.splitlines()
    assert sorted(lines) == ["talk-0-talker | I am a", "talk-1-talker | I am b"]


def test_logs_of_one_agent_can_be_asked_for(cli: Command) -> None:
    cli.run("Chatty", "-i", 'items=["a", "b"]')
    line = cli.ask("workflow", "logs", "last", "--step", "talk", "--index", "1")
    assert (line["job"], line["stream"], line["text"]) == ("talk-1-talker", "stdout", "I am b")
    assert cli("workflow", "logs", "last", "--step", "other").stdout == ""


def test_logs_are_followed_over_a_change_of_servers_without_repeating(cli: Command) -> None:
    cli.start("Gated", "-i", f"gate={cli.gate}")
    follower = cli.begin("workflow", "logs", "last", "--follow")
    first = cli.up()
    follower.wait_for("before")
    first.stop()
    cli.up()
    eventually(lambda: "adopted" in cli("workflow", "events", "last").stdout)
    cli.gate.touch()
    assert follower.end() == 0
    texts = [line.removeprefix("wait-0-waiter | ") for line in follower.out.splitlines()]
    assert texts == ["before", "after", '"through"']


def test_lists_the_agents_of_workflows_under_way(cli: Command) -> None:
    cli.run("Broken")
    run = cli.begin("workflow", "run", f"{FLOWS}:Gated", "-i", f"gate={cli.gate}")
    eventually(lambda: [a["status"] for a in cli.ask("list")] == ["running"])
    assert cli("list").stdout.splitlines()[1].split()[1:5] == ["wait", "0", "any", "running"]
    assert [agent["step"] for agent in cli.ask("list", "--all")] == ["wait", "crash"]
    cli.gate.touch()
    assert run.end() == 0


def test_a_reader_that_goes_away_is_no_error(cli: Command) -> None:
    cli.run("Chatty", "-i", "items=200")
    reader = f"{PROGRAM} workflow events last --json | head -n 1"
    done = subprocess.run(
        ["sh", "-c", reader], env=cli.environment, capture_output=True, text=True, timeout=30
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_says_which_redis_cannot_be_used_without_its_password(cli: Command) -> None:
    done = cli("list", AGENTAINER_REDIS_URL="redis://me:secret@127.0.0.1:1/0")
    assert done.returncode == 1
    assert "redis://me:***@127.0.0.1:1/0" in done.stderr
    assert "secret" not in done.stderr
