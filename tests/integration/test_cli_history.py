"""`agentainer workflow why`, `replay`, `diff` and `blame` on what really ran."""

from __future__ import annotations

from typing import Any

import pytest

from .command import Command, eventually


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_replay_shows_every_event_and_what_it_changed(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    events = cli("workflow", "events", "last").stdout.splitlines()
    shown = cli("workflow", "replay", "last").stdout.splitlines()
    assert [line for line in shown if not line.startswith(" " * 9)] == events
    told = lines("\n".join(shown))
    assert "status created -> running" in told
    assert told[-2:] == ["status running -> completed", 'result "hello 7"']
    asked = cli("workflow", "replay", "last", "--json").stdout.splitlines()
    assert len(asked) == len(events)


def test_replay_shows_a_workflow_as_it_was(cli: Command) -> None:
    cli.run("Broken")
    then = cli("workflow", "replay", "last", "--at", "4")
    assert lines(then.stdout)[3].split()[:2] == ["crash", "running"]
    assert "As it was after event 4 of" in then.stdout
    assert cli.ask("workflow", "replay", "last", "--at", "1")["status"] == "created"
    now = cli.ask("workflow", "status", "last")
    assert cli.ask("workflow", "replay", "last", "--at", "2999-01-01T00:00:00") == now


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["replay", "last", "--at", "999"], 3, "has events 1 to"),
        (["replay", "last", "--at", "1999-01-01"], 3, "was created later"),
        (["replay", "last", "--at", "soon"], 2, "expected a version such as 12 or a time"),
        (["diff", "last", "1", "never"], 2, "expected a version such as 12 or a time"),
        (["blame", "last", "state.nothing"], 3, "no event of workflow"),
        (["why", "last", "nothing"], 3, "has no step 'nothing'; it has say"),
        (["why", "nobody"], 3, "no workflow 'nobody'"),
    ],
)
def test_what_is_not_there(cli: Command, arguments: list[str], code: int, problem: str) -> None:
    cli.run("Greet", "-i", "name=7")
    done = cli("workflow", *arguments)
    assert (done.returncode, problem in done.stderr) == (code, True), done.stderr


def test_diff_shows_what_changed_between_two_moments(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    assert "steps.say.status scheduled -> completed" in lines(
        cli("workflow", "diff", "last", "3", "2999-01-01").stdout
    )
    found = cli.ask("workflow", "diff", "last", "1", "2")
    assert (found["before"], found["after"]) == (1, 2)
    assert found["changes"] == [{"path": "status", "before": "created", "after": "running"}]


def test_blame_shows_the_chain_that_led_to_a_value(cli: Command) -> None:
    cli.run("Broken")
    shown = lines(cli("workflow", "blame", "last", "steps.crash.status").stdout)
    assert shown[0] == "steps.crash.status running -> failed"
    assert "step.failed crash[0]" in shown[-1]
    chain: list[Any] = cli.ask("workflow", "blame", "last", "steps.crash.status")["chain"]
    assert [one["cause"] for one in chain[1:]] == [one["version"] for one in chain[:-1]]


def test_why_tells_the_root_of_a_failure(cli: Command) -> None:
    cli.run("Broken")
    assert "It failed: step crash" in cli("workflow", "why", "last").stdout
    found = cli.ask("workflow", "why", "last", "crash")
    assert [(one["step"], one["root"]) for one in found] == [("crash", True)]


def test_why_tells_what_is_missing(cli: Command) -> None:
    workflow = cli.start("Gated", "-i", "gate=x")
    assert "No engine owns the lane" in cli("workflow", "why", workflow).stdout
    reactors = cli.begin("reactors")

    def why() -> str:
        return cli("workflow", "why", workflow, "wait").stdout

    eventually(lambda: "but no worker serves definition 'gated'" in why())
    reactors.stop()
