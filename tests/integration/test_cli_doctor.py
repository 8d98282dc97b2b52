"""`agentainer doctor` and `agentainer queue`."""

from __future__ import annotations

import json
import signal
from typing import Any

from redis import Redis

from agentainer_flow.core.settings import Settings

from .command import FLOWS, Command, eventually


def examine(cli: Command) -> tuple[int, Any]:
    done = cli("doctor", "--json")
    return done.returncode, json.loads(done.stdout)


def said(report: Any) -> str:
    return " ".join(finding["text"] for finding in report["findings"])


def test_nothing_to_do_is_healthy(cli: Command) -> None:
    done = cli("doctor")
    assert done.returncode == 0
    assert "no role runs" in done.stdout
    assert "of Redis loses everything since its last dump" in done.stdout
    assert "All is well." in done.stdout


def test_work_that_nobody_schedules_is_a_problem(cli: Command) -> None:
    cli.start("Greet", "-i", "name=7")
    code, report = examine(cli)
    assert (code, report["healthy"]) == (1, False)
    assert "No engine owns the lane; 1 workflow waits" in said(report)


def test_says_which_roles_run_with_what(cli: Command) -> None:
    serving = cli.up()
    code, report = examine(cli)
    assert code == 0
    members = {one["role"]: one for one in report["facts"]["members"]}
    assert set(members) == {"scheduler", "clock", "janitor", "worker", "launcher"}
    assert {one["pid"] for one in members.values()} == {serving.process.pid}
    assert "greet" in members["worker"]["definitions"]
    assert members["launcher"]["slots"] == 16
    assert members["scheduler"]["owns_lanes"] == [0]
    assert 0 < members["janitor"]["lease_left_s"] <= 2


def test_says_which_definition_nobody_serves_and_which_agents_wait(cli: Command) -> None:
    cli.begin("reactors").wait_for("ready", "err")
    cli.start("Greet", "-i", "name=7")
    eventually(lambda: "no worker serves definition 'greet'" in said(examine(cli)[1]))

    cli.start("Broken")
    cli.begin("worker", str(FLOWS)).wait_for("ready", "err")
    eventually(lambda: "No launcher runs; 1 agent waits" in said(examine(cli)[1]))

    cli.begin("launcher").wait_for("ready", "err")
    eventually(lambda: examine(cli)[0] == 0)


def test_says_which_agent_is_larger_than_every_launcher(cli: Command) -> None:
    cli.begin("up", str(FLOWS), "--memory", "1g").wait_for("ready", "err")
    workflow = cli.start("Hungry")
    needs = f"Agent eat-0-eater of workflow {workflow} needs 2 GiB of memory and no launcher has"
    eventually(lambda: needs in said(examine(cli)[1]))
    assert "1 GiB" in cli("doctor").stdout

    cli.begin("launcher", "--memory", "2048m").wait_for("ready", "err")
    cli.wait_for_status("completed")
    assert examine(cli)[0] == 0


def test_says_which_agent_waits_for_memory(cli: Command) -> None:
    cli.environment["AGENTAINER_AGENT_MEMORY"] = "2g"
    cli.up()
    cli.start("Gated", "-i", f"gate={cli.gate}")
    eventually(lambda: "job.launched" in cli("workflow", "events", "last").stdout)

    workflow = cli.start("Hungry")
    waits = f"Agent eat-0-eater of workflow {workflow} waits until 2 GiB of memory are free."
    eventually(lambda: waits in said(examine(cli)[1]))
    assert examine(cli)[0] == 0

    cli.gate.touch()
    cli.wait_for_status("completed")


def test_a_paused_workflow_waits_and_is_no_problem(cli: Command) -> None:
    cli.up()
    workflow = cli.start("Gated", "-i", f"gate={cli.gate}")
    cli("workflow", "pause", workflow)
    code, report = examine(cli)
    assert code == 0
    assert f"Workflow {workflow} is paused." in said(report)


def test_an_engine_that_holds_the_lane_and_does_not_get_on_is_reported(cli: Command) -> None:
    cli.environment["AGENTAINER_LEASE"] = "600"
    serving = cli.up()
    cli.start("Greet", "-i", "name=6")
    cli.wait_for_status("completed")
    serving.signal(signal.SIGSTOP)
    cli.start("Greet", "-i", "name=7")

    eventually(lambda: "owns the lane and does not get on" in said(examine(cli)[1]))

    serving.signal(signal.SIGCONT)
    cli.wait_for_status("completed")
    assert examine(cli)[0] == 0


def test_an_evicting_redis_is_a_problem(cli: Command, settings: Settings) -> None:
    with Redis.from_url(settings.redis_url or "") as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        code, report = examine(cli)
        client.config_set("maxmemory-policy", "noeviction")
    assert code == 1
    assert "set maxmemory-policy noeviction" in said(report)


def test_sessions_that_end_leave_nothing_behind(cli: Command, settings: Settings) -> None:
    serving = cli.up()
    assert serving.stop() == 0
    with Redis.from_url(settings.redis_url or "") as client:
        assert client.exists("flow:0:sessions", "flow:0:about", "flow:0:claims") == 0


def test_limits_of_a_queue_are_set_one_by_one(cli: Command) -> None:
    cli.ask("queue", "set", "gpu", "--limit", "4")
    cli.ask("queue", "set", "gpu", "--depth", "9")
    found = {
        **{"name": "gpu", "limit": 4, "depth": 9, "running": 0, "waiting": 0},
        **{"oldest_s": 0.0, "workflows": 0, "utilisation": 0.0},
    }
    assert cli.ask("queue", "list") == [found]

    cli.ask("queue", "set", "gpu", "--limit", "none")
    found |= {"limit": 0, "depth": 0, "utilisation": None}
    assert cli.ask("queue", "set", "gpu", "--depth", "0") == found
    assert cli("queue", "list").stdout == "no queue has limits or tasks\n"


def test_queues_say_what_runs_and_what_waits(cli: Command) -> None:
    cli.ask("queue", "set", "*", "--limit", "1")
    cli.up()
    cli.start("Gated", "-i", f"gate={cli.gate}")
    cli.start("Gated", "-i", f"gate={cli.gate}")

    eventually(lambda: [one["waiting"] for one in cli.ask("queue", "list")] == [1, 1])
    everything, default = cli.ask("queue", "list")
    assert (everything["name"], everything["limit"], everything["running"]) == ("*", 1, 1)
    assert (default["name"], default["limit"], default["running"]) == ("default", 0, 1)
    assert "all queues together is limited: 1 of 1 run" in said(examine(cli)[1])


def test_a_limit_that_is_no_number_is_refused(cli: Command) -> None:
    assert cli("queue", "set", "gpu", "--limit", "many").returncode == 2
    assert cli("queue", "set", "gpu").returncode == 2
