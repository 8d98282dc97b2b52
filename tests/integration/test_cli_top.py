"""`agentainer top` and `agentainer queue list`, while workflows run."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from typing import Any

import pytest

from agentainer_flow.core.log import EventLog
from agentainer_flow.sdk.throughput import Rates, Throughput

from .command import FLOWS, PROGRAM, Command, eventually

pytestmark = pytest.mark.anyio


def look(cli: Command) -> Any:
    return cli.ask("top", "--every", "0.3")


def queues(cli: Command) -> dict[str, Any]:
    return {one["name"]: one for one in cli.ask("queue", "list")}


def test_shows_who_is_busy_and_what_takes_long(cli: Command) -> None:
    cli.up()
    workflow = cli.start("Gated", "-i", f"gate={cli.gate}")
    eventually(lambda: len(look(cli)["steps"]) == 1)
    found = look(cli)
    (busy,) = found["workflows"]
    assert busy == {"workflow": workflow, "name": "gated", "status": "running", "running": 1}
    (slow,) = found["steps"]
    assert (slow["step"], slow["tasks"], slow["tasks_done"]) == ("wait", 1, 0)
    assert slow["running_s"] > 0
    (host,) = found["hosts"]
    assert (host["tasks"], host["task_slots"], host["agents"]) == (1, 100, 1)
    assert (found["active"], found["agents_waiting"]) == (1, 0)


async def test_counts_what_ended_between_two_looks(cli: Command, log: EventLog) -> None:
    throughput = Throughput(log)
    await throughput.open()
    cli.run("Greet", "-i", "name=1")
    cli.run("Broken")
    rates = await throughput.look()
    assert rates.tasks_per_s == pytest.approx(2 * rates.failed_tasks_per_s, abs=0.02)
    assert rates.workflows_per_s == pytest.approx(2 * rates.failed_workflows_per_s, abs=0.02)
    assert rates.workflows_per_s > 0
    assert await throughput.look() == Rates()
    await throughput.close()


async def test_lets_go_of_the_feed(cli: Command, log: EventLog) -> None:
    look(cli)
    assert await log.redis.exists("flow:0:followers") == 0


def test_a_queue_says_since_when_its_tasks_wait(cli: Command) -> None:
    cli.begin("reactors").wait_for("ready", "err")
    cli("queue", "set", "default", "--limit", "4")
    cli.start("Greet", "-i", "name=1")
    cli.start("Greet", "-i", "name=2")
    eventually(lambda: queues(cli).get("default", {}).get("workflows") == 2)
    found = queues(cli)
    assert found["default"]["waiting"] == found["*"]["workflows"] == 2
    assert found["default"]["oldest_s"] > 0
    assert found["default"]["utilisation"] == 0
    assert found["*"]["utilisation"] is None


def test_the_share_of_a_limit_is_what_runs(cli: Command) -> None:
    cli.up()
    cli("queue", "set", "default", "--limit", "2")
    cli.start("Gated", "-i", f"gate={cli.gate}")
    eventually(lambda: queues(cli)["default"]["running"] == 1)
    assert queues(cli)["default"]["utilisation"] == 0.5
    assert "50%" in cli("queue", "list").stdout


def test_prints_one_look_where_there_is_no_terminal(cli: Command) -> None:
    cli.begin("worker", str(FLOWS)).wait_for("ready", "err")
    done = cli("top", "--every", "0.3")
    assert done.returncode == 0
    assert "0 tasks/s" in done.stdout
    assert "TASK SLOTS" in done.stdout


def test_has_the_screen_of_a_terminal_until_it_is_interrupted(cli: Command) -> None:
    ours, theirs = pty.openpty()
    top = subprocess.Popen(
        [str(PROGRAM), "top", "--every", "0.2"],
        env={**cli.environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while b"tasks/s" not in shown:
        shown += os.read(ours, 4096)
    assert b"\x1b[?1049h" in shown  # the alternate screen
    top.send_signal(signal.SIGINT)
    assert top.wait(20) == 130
    os.close(ours)
