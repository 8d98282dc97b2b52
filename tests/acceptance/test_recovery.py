"""Real processes, killed with -9 at bad moments: nothing is lost and no agent is launched twice."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from .scene import PIPELINE, THREE, Scene, kill, until


def test_run_killed_midway_goes_on_where_its_definition_is_served(scene: Scene) -> None:
    run = scene.run()
    until(lambda: scene.launched() == THREE)
    kill(run)

    scene.up()
    until(lambda: "workflow.adopted" in scene.types())
    scene.let_agents_end()
    until(scene.is_completed)

    assert scene.launched() == THREE  # each agent once, adopted and not launched again
    assert scene.types().count("job.requested") == 3
    assert scene.log()[-1][1]["data"] == '{"result":318}'  # 3*5 + 0+1+2 + 3*100 of __init__
    assert [name for name, _ in scene.log()] == [f"{n}-0" for n in range(1, len(scene.log()) + 1)]
    assert scene.redis.keys("flow:0:run:*") == []  # of the lane that it had


def test_server_killed_midway_is_followed_by_the_next(scene: Scene) -> None:
    first = scene.up()
    scene.begin(f"{PIPELINE}:SlowPipeline", chunks=3)
    until(lambda: scene.launched() == THREE)
    kill(first)

    scene.up()
    until(lambda: "task.lost" in scene.types())
    scene.let_agents_end()
    until(scene.is_completed)

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
    until(scene.is_completed)
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
