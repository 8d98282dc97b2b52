"""`agentainer up`: serve until a signal."""

from __future__ import annotations

import json
import signal

from .command import FLOWS, Command, eventually


def events(cli: Command, kind: str) -> list[dict[str, object]]:
    lines = cli("workflow", "events", "last", "--json").stdout.splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def test_says_what_it_serves_and_with_what(cli: Command) -> None:
    serving = cli.up()
    assert f"serving greet ({FLOWS}:Greet): say" in serving.err.splitlines()
    assert f"redis    {cli.environment['AGENTAINER_REDIS_URL']}" in serving.err.splitlines()
    assert "runtime  local processes" in serving.err
    assert serving.out == ""


def test_serves_what_was_started_before_and_after(cli: Command) -> None:
    cli.start("Greet", "-i", "name=7")
    cli.up()
    cli.wait_for_status("completed")
    cli.start("Broken")
    cli.wait_for_status("failed")


def test_a_signal_hands_over_and_ends_with_0(cli: Command) -> None:
    cli.start("Gated", "-i", f"gate={cli.gate}")
    first = cli.up()
    eventually(lambda: bool(events(cli, "job.launched")))
    assert first.stop() == 0
    cli.up()
    cli.gate.touch()
    cli.wait_for_status("completed")
    assert len(events(cli, "job.requested")) == 1


def test_ctrl_c_ends_with_0(cli: Command) -> None:
    serving = cli.up()
    serving.signal(signal.SIGINT)
    assert serving.end() == 0
    assert "Traceback" not in serving.err


def test_a_second_signal_ends_it_at_once(cli: Command) -> None:
    cli.start("Stubborn", "-i", f"started={cli.gate}")
    serving = cli.up()
    eventually(cli.gate.exists)
    serving.signal(signal.SIGINT)
    serving.wait_for("once more", "err")
    serving.signal(signal.SIGINT)
    assert serving.end() == 130


def test_says_what_cannot_be_served(cli: Command) -> None:
    done = cli("up", f"{FLOWS}:Greet", "nowhere.py")
    assert done.returncode == 2
    assert "there is no file" in done.stderr


def test_does_not_begin_without_the_runtime_that_was_asked_for(cli: Command) -> None:
    done = cli(
        "up", str(FLOWS), AGENTAINER_RUNTIME="docker", DOCKER_HOST=f"unix://{cli.folder}/no.sock"
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_names_the_setting_that_cannot_be_used(cli: Command) -> None:
    done = cli("up", str(FLOWS), AGENTAINER_LOG_LEVEL="loud")
    assert done.returncode == 2
    assert "log_level must be debug" in done.stderr
