"""Launchers are killed, jobs go on: nothing is lost and nothing runs twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from .bench import COUNT_RUNS, Bench, Seen, launch, nowhere

pytestmark = pytest.mark.anyio

#: Python for agents: say `ready`, go on when a file `go` is there, then answer.
WAIT_FOR_GO = """
import os, pathlib, time
share = pathlib.Path(os.environ['AGENTAINER_RESULT_PATH']).parent
print('ready', flush=True)
while not (share / 'go').exists(): time.sleep(0.01)
"""
CODE = WAIT_FOR_GO + COUNT_RUNS

Launcher = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def launcher(kind: str, root: Path, installation: str, bench: Bench) -> Launcher:
    """Start a launcher process that runs CODE."""
    script = str(Path(__file__).with_name("a_launcher.py"))
    command = [sys.executable, script, kind, str(root), installation, CODE]
    return lambda: subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@contextmanager
def running(launcher: Launcher) -> Generator[None, None, None]:
    """Have a launcher whose agent is ready, and kill it at the end."""
    with launcher() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


def go(root: Path) -> None:
    (share,) = root.glob("*/share")
    (share / "go").touch()


async def test_a_running_job_is_adopted_after_its_launcher_was_killed(
    bench: Bench, launcher: Launcher, root: Path
) -> None:
    with running(launcher):
        pass
    seen = Seen()
    assert await bench.adopts(launch(CODE))
    go(root)
    outcome = await bench.runtime.follow(launch(CODE), seen.sink)
    assert (outcome.kind, outcome.result) == ("succeeded", "1")
    assert seen.texts() == ["ready", "1"]


async def test_a_job_that_ended_while_nobody_watched_is_harvested(
    bench: Bench, launcher: Launcher, root: Path
) -> None:
    with running(launcher):
        pass
    watcher = await bench.another()
    go(root)
    await watcher.follow(launch(CODE), nowhere)
    assert await bench.adopts(launch(CODE))
    outcome = await bench.runtime.follow(launch(CODE), nowhere)
    assert (outcome.kind, outcome.exit_code, outcome.result) == ("succeeded", 0, "1")


async def test_two_launchers_at_once_share_one_job(
    bench: Bench, launcher: Launcher, root: Path
) -> None:
    with running(launcher), running(launcher):
        go(root)
        outcome = await bench.runtime.follow(launch(CODE), nowhere)
    assert outcome.result == "1"


async def test_a_time_limit_counts_from_the_start_also_after_adoption(
    bench: Bench, launcher: Launcher, root: Path
) -> None:
    with running(launcher):
        pass
    with anyio.fail_after(10):
        outcome = await bench.runtime.follow(launch(CODE, timeout_s=0.01), nowhere)
    assert outcome.kind == "timed_out"
