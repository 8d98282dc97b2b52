"""Real processes, killed with -9 at bad moments: nothing is lost and no agent is launched twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from agentainer_flow.core.settings import Settings

PIPELINE = Path(__file__).with_name("slow_pipeline.py")


class Scene:
    """A home, a Redis, and the processes that a test starts."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.traces = folder / "traces"
        self.redis: Redis = Redis.from_url(settings.redis_url or "", decode_responses=True)
        self.environment = {
            **os.environ,
            "AGENTAINER_REDIS_URL": settings.redis_url or "",
            "AGENTAINER_HOME": str(folder / "home"),
            "AGENTAINER_RUNTIME": "process",
            "AGENTAINER_LEASE": "1",
            "TRACES": str(self.traces),
        }
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def run(self) -> subprocess.Popen[str]:
        return self.start(sys.executable, str(PIPELINE))

    def up(self) -> subprocess.Popen[str]:
        program = Path(sys.executable).with_name("agentainer")
        return self.start(str(program), "up", f"{PIPELINE}:SlowPipeline")

    def launched(self) -> list[str]:
        return sorted(self.traces.read_text().split()) if self.traces.exists() else []

    def let_agents_end(self) -> None:
        Path(f"{self.traces}.go").touch()

    def workflow(self) -> str:
        (name,) = self.redis.zrange("flow:0:workflows", 0, -1)
        return str(name)

    def log(self) -> list[tuple[str, dict[str, str]]]:
        entries: Any = self.redis.xrange(f"workflow:{self.workflow()}:events")
        return list(entries)

    def types(self) -> list[str]:
        return [fields["type"] for _, fields in self.log()]

    def close(self) -> None:
        self.let_agents_end()
        for process in self.processes:
            process.kill()
            process.communicate()
        self.redis.close()


@pytest.fixture
def scene(settings: Settings, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(settings, tmp_path)
    yield scene
    scene.close()


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


THREE = ["work-0-agent", "work-1-agent", "work-2-agent"]


def test_run_killed_midway_goes_on_where_its_definition_is_served(scene: Scene) -> None:
    run = scene.run()
    until(lambda: scene.launched() == THREE)
    run.send_signal(signal.SIGKILL)

    scene.up()
    until(lambda: "workflow.adopted" in scene.types())
    scene.let_agents_end()
    until(lambda: scene.types()[-1] == "workflow.completed")

    assert scene.launched() == THREE  # each agent once, adopted and not launched again
    assert scene.types().count("job.requested") == 3
    assert scene.log()[-1][1]["data"] == '{"result":318}'  # 3*5 + 0+1+2 + 3*100 of __init__
    assert [name for name, _ in scene.log()] == [f"{n}-0" for n in range(1, len(scene.log()) + 1)]


def test_server_killed_midway_is_followed_by_the_next(scene: Scene) -> None:
    first = scene.up()
    program = Path(sys.executable).with_name("agentainer")
    start = scene.start(
        str(program), "workflow", "start", f"{PIPELINE}:SlowPipeline", "-i", "chunks=3"
    )
    assert start.wait(timeout=30) == 0
    until(lambda: scene.launched() == THREE)
    first.send_signal(signal.SIGKILL)

    scene.up()
    until(lambda: "task.lost" in scene.types())
    scene.let_agents_end()
    until(lambda: scene.types()[-1] == "workflow.completed")

    assert scene.launched() == THREE
    assert scene.types().count("task.completed") == 5
    assert scene.types().count("step.completed") == 3


def test_interrupted_run_is_handed_back_at_once(scene: Scene) -> None:
    run = scene.run()
    until(lambda: scene.launched() == THREE)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=20) != 0

    scene.up()
    scene.let_agents_end()
    until(lambda: scene.types()[-1] == "workflow.completed")
    assert scene.launched() == THREE


def test_failed_run_ends_though_a_cancelled_step_sleeps_on(scene: Scene, tmp_path: Path) -> None:
    script = tmp_path / "sleepy.py"
    script.write_text(SLEEPY)

    run = scene.start(sys.executable, str(script))

    assert run.wait(timeout=30) == 1  # not after ten minutes


SLEEPY = """
import time
from agentainer_flow import parallel, step, workflow

@workflow()
class Sleepy:
    @step()
    @parallel()
    def sleep(self, context, item):
        if item:
            time.sleep(600)
        raise ValueError("the first one fails")

try:
    Sleepy().run(items=3)
except Exception:
    raise SystemExit(1)
"""
