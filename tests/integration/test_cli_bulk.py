"""`agentainer workflow bulk`, `fork`, `watch` and `delete` as processes."""

from __future__ import annotations

import json

from .command import Command


def greeted(cli: Command, count: int) -> list[str]:
    return [cli.start("Greet", "-i", f"name={number}", "--tag", "n=1") for number in range(count)]


def test_nothing_is_done_without_a_yes(cli: Command) -> None:
    ids = greeted(cli, 2)
    done = cli("workflow", "bulk", "cancel", "--tag", "n=1")
    assert done.returncode == 1
    assert all(one in done.stderr for one in ids)
    assert "to cancel these 2 workflows add --yes" in done.stderr
    assert cli.status(ids[0]) == "running"


def test_all_that_match_are_changed_and_refusals_told(cli: Command) -> None:
    ids = greeted(cli, 3)
    cli("workflow", "pause", ids[0])
    done = cli("workflow", "bulk", "pause", "--name", "greet", "--yes", "--json")
    told = {one["id"]: one.get("problem", "") for one in json.loads(done.stdout)}
    assert done.returncode == 1
    assert "is paused" in told.pop(ids[0])
    assert told == {ids[1]: "", ids[2]: ""}
    assert cli("workflow", "bulk", "resume", "--tag", "n=1", "--yes").returncode == 0
    assert [cli.status(one) for one in ids] == ["running"] * 3


def test_a_query_is_asked_for(cli: Command) -> None:
    done = cli("workflow", "bulk", "delete", "--yes")
    assert (done.returncode, "say which ones" in done.stderr) == (2, True)


def test_failed_ones_are_forked_and_old_ones_deleted(cli: Command) -> None:
    cli.run("Broken")
    (source,) = [one["id"] for one in cli.ask("workflow", "list")]
    (made,) = cli.ask("workflow", "bulk", "fork", "--status", "failed", "--yes")
    assert made["id"] == source
    assert cli.ask("workflow", "status", source)["forks"] == [made["fork"]]
    assert cli.ask("workflow", "status", made["fork"])["forked_from"]["workflow"] == source
    assert f"forked from {source} after event" in cli("workflow", "status", made["fork"]).stdout
    assert cli("workflow", "delete", source).returncode == 0
    assert cli("workflow", "status", source).returncode == 3
    assert cli("workflow", "delete", made["fork"]).returncode == 1


def test_a_plan_makes_nothing_and_a_fork_says_its_id(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    plan = cli.ask("workflow", "fork", "last", "-i", "name=8", "--plan")
    assert (plan["id"], [step["why"] for step in plan["steps"]]) == (None, ["it reads input name"])
    assert len(cli.ask("workflow", "list")) == 1
    done = cli("workflow", "fork", "last", "-i", "name=8")
    assert "REUSED" in done.stderr
    serving = cli.up()
    watched = cli("workflow", "watch", done.stdout.strip())
    assert (watched.returncode, "say: completed, 1/1 done" in watched.stderr) == (0, True)
    assert cli.ask("workflow", "diff", "last", done.stdout.strip())["before"] == done.stdout.strip()
    serving.stop()


def test_watching_one_that_fails(cli: Command) -> None:
    cli.run("Broken")
    done = cli("workflow", "watch", "last")
    assert (done.returncode, "failed after" in done.stderr) == (1, True)


def test_forks_that_cannot_be(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    assert cli("workflow", "fork", "last").returncode == 1
    assert cli("workflow", "fork", "last", "--from", "a[b").returncode == 2
    assert cli("workflow", "fork", "last", "--from", "nothing").returncode == 2
    assert cli("workflow", "fork", "nobody", "--from", "say").returncode == 3


def test_replay_until(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    found = cli.ask("workflow", "replay", "last", "--until", "steps.say.completed == 1")
    assert (found["status"], found["steps"][0]["tasks"]["completed"]) == ("running", 1)
    never = cli("workflow", "replay", "last", "--until", "state.total > 1")
    assert (never.returncode, "holds after none of the" in never.stderr) == (3, True)
    assert cli("workflow", "replay", "last", "--until", "nonsense(").returncode == 2
