"""`agentainer workflow run`, `start` and `cancel`."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path

import pytest
from redis import Redis

from .command import FLOWS, Command


def test_the_result_is_the_last_line_of_stdout(cli: Command) -> None:
    done = cli.run("Greet", "-i", "name=7")
    assert done.stdout.splitlines() == ["a step prints", '"hello 7"']
    assert done.returncode == 0


def test_progress_comes_as_plain_lines_where_no_terminal_is(cli: Command) -> None:
    done = cli.run("Greet", "-i", "name=7")
    assert "say: completed, 1/1 done" in done.stderr.splitlines()


def test_with_json_stdout_has_the_result_alone(cli: Command) -> None:
    done = cli.run("Greet", "-i", "name=7", "--json")
    assert json.loads(done.stdout) == "hello 7"
    assert "a step prints" in done.stderr


def test_a_value_that_is_not_json_is_text(cli: Command) -> None:
    done = cli.run("Greet", "--input", "name=[1, x", "--init", 'greeting="good day"')
    assert json.loads(done.stdout.splitlines()[-1]) == "good day '[1, x'"


def test_a_failed_run_says_why_without_a_traceback(cli: Command) -> None:
    done = cli.run("Broken")
    assert (done.returncode, done.stdout) == (1, "")
    assert "failed in step 'crash'" in done.stderr
    assert "  | a bad thing" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_debug_level_shows_the_traceback(cli: Command) -> None:
    done = cli("workflow", "run", f"{FLOWS}:Broken", AGENTAINER_LOG_LEVEL="debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_names_the_input_that_is_missing(cli: Command) -> None:
    done = cli.run("Greet")
    assert done.returncode == 2
    assert "step 'say' needs input 'name'" in done.stderr


def test_names_the_constructor_argument_that_does_not_fit(cli: Command) -> None:
    done = cli.run("Greet", "-i", "name=7", "--init", "volume=11")
    assert done.returncode == 2
    assert "--init" in done.stderr
    assert "'volume'" in done.stderr


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("no_such_module:Greet", "No module named 'no_such_module'"),
        ("missing.py", "there is no file"),
        (f"{FLOWS}:Nobody", "no workflow class 'Nobody'"),
        (f"{FLOWS}", "say which one"),
        (":Greet", "cannot be imported"),
        ("torn.py", "invalid syntax"),
    ],
)
def test_says_what_cannot_be_loaded(cli: Command, reference: str, problem: str) -> None:
    (cli.folder / "torn.py").write_text("class ?")
    done = cli("workflow", "run", reference)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_agents_never_take_more_than_their_slots(cli: Command) -> None:
    inputs = ("-i", "items=6", "-i", f"folder={cli.folder}")
    done = cli("workflow", "run", f"{FLOWS}:Meeting", *inputs, AGENTAINER_AGENT_SLOTS="2")
    assert done.returncode == 0, done.stderr
    lines = cli("workflow", "events", "last", "--json").stdout.splitlines()
    kinds = [json.loads(line)["type"] for line in lines]
    steps = [{"job.launched": 1, "job.succeeded": -1}.get(kind, 0) for kind in kinds]
    assert steps.count(1) == steps.count(-1) == 6
    assert max(itertools.accumulate(steps)) == 2


def test_log_lines_leave_stdout_to_the_result(cli: Command) -> None:
    done = cli(*("workflow", "run", f"{FLOWS}:Greet", "-i", "name=7"), AGENTAINER_LOG_LEVEL="info")
    assert done.stdout.splitlines() == ["a step prints", '"hello 7"']
    assert "a step logs" in done.stderr


def test_an_interrupted_run_is_kept_and_says_how_to_go_on(cli: Command) -> None:
    run = cli.begin("workflow", "run", f"{FLOWS}:Gated", "-i", f"gate={cli.gate}")
    run.wait_for("1 running", "err")
    run.signal(signal.SIGINT)
    assert run.end() == 130
    assert f"agentainer up {FLOWS}:Gated" in run.err.replace("\n", "")
    cli.gate.touch()
    cli.up()
    cli.wait_for_status("completed")


def test_start_prints_the_id_and_says_how_to_serve_it(cli: Command) -> None:
    done = cli("workflow", "start", f"{FLOWS}:Greet", "-i", "name=7")
    assert cli.status(done.stdout.strip()) == "running"
    assert f"agentainer up {FLOWS}:Greet" in done.stderr


def test_result_waits_for_the_end(cli: Command) -> None:
    workflow = cli.start("Greet", "-i", "name=7")
    late = cli("workflow", "result", workflow, "--timeout", "0.2")
    assert (late.returncode, late.stdout) == (1, "")
    assert "still runs after 0.2 s" in late.stderr
    cli.up()
    assert cli.ask("workflow", "result", workflow) == "hello 7"


def test_result_of_a_run_that_failed_says_why(cli: Command) -> None:
    cli.run("Broken")
    done = cli("workflow", "result", "last")
    assert (done.returncode, done.stdout) == (1, "")
    assert "broken" in done.stderr


def test_cancel_ends_a_run_that_is_served(cli: Command) -> None:
    workflow = cli.start("Gated", "-i", f"gate={cli.gate}")
    cli.up()
    assert cli.ask("workflow", "cancel", workflow, "--reason", "enough") == {
        "id": workflow,
        "status": "cancelling",
    }
    cli.wait_for_status("cancelled")


def test_an_ended_run_cannot_be_cancelled(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    done = cli("workflow", "cancel", "last")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is completed" in done.stderr


def test_the_example_runs_with_processes_as_agents(cli: Command) -> None:
    examples = Path(__file__).parents[2] / "examples"
    done = cli(
        *("workflow", "run", str(examples / "data_processing.py"), "-i", "chunks=3"),
        AGENTAINER_AGENTS=str(examples / "agents"),
    )
    assert json.loads(done.stdout)["chunks"] == 3


CALLS_RUN = """
from agentainer_flow import step, workflow

@workflow()
class Direct:
    @step()
    def one(self, context):
        return 1

print(Direct().run() + "never reached")
"""


def test_file_that_calls_run_is_read_up_to_there(cli: Command) -> None:
    file = cli.folder / "direct.py"
    file.write_text(CALLS_RUN)

    done = cli("workflow", "run", f"{file}:Direct")

    assert (done.returncode, done.stdout) == (0, "1\n")
    assert "file.read_up_to_its_run" in done.stderr
    assert len(json.loads(cli("workflow", "list", "--json").stdout)) == 1


def test_module_that_calls_run_is_refused(cli: Command) -> None:
    (cli.folder / "direct.py").write_text(CALLS_RUN)

    done = cli("workflow", "run", "direct:Direct")

    assert done.returncode == 2
    assert "calls run() or start() while it is imported" in done.stderr


def test_refused_run_does_not_claim_to_be_kept(cli: Command) -> None:
    cli("queue", "set", "default", "--depth", "1")
    with Redis.from_url(cli.environment["AGENTAINER_REDIS_URL"]) as redis:
        redis.hset("flow:waiting", "default", 1)

    done = cli.run("Greet", "-i", "name=7")

    assert done.returncode == 1
    assert "queue 'default' is full" in done.stderr
    assert "interrupted" not in done.stderr
