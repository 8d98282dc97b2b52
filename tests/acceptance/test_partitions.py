"""Several partitions, several schedulers: each has a share of the lanes, the dead are replaced."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter

import anyio

from agentainer_flow.core.settings import load_settings
from agentainer_flow.sdk import client
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.registry import code_of

from .role_flows import Many
from .scene import FLOWS, Process, Scene, kill, stop, until

ITEMS = 5


def begin(scene: Scene, workflows: int) -> list[str]:
    """Start workflows, faster than the command would."""

    async def main() -> list[str]:
        settings = load_settings(scene.environment)
        async with connect(settings) as log:
            runs = [
                client.prepare(code_of(Many), None, {"items": ITEMS}, settings)
                for _ in range(workflows)
            ]
            return [await client.create(log, run) for run in runs]

    return anyio.run(main)


def shares(scene: Scene) -> list[int]:
    """How many lanes each owner has, the largest share first."""
    return sorted(Counter(scene.owners().values()).values(), reverse=True)


def assert_each_task_ran_once(scene: Scene, workflow: str) -> None:
    kinds = Counter(scene.types(workflow))
    assert (kinds["task.started"], kinds["task.completed"]) == (ITEMS, ITEMS)
    assert (kinds["step.scheduled"], kinds["step.completed"]) == (1, 1)


def reactors(scene: Scene) -> Process:
    return scene.serve("reactors")


def test_schedulers_share_the_lanes_and_take_over_those_of_one_that_is_killed(
    scene: Scene,
) -> None:
    scene.environment["AGENTAINER_LEASE"] = "2"
    scene.divide(4)
    for _ in range(2):
        scene.serve("worker", f"{FLOWS}:Many")
    first = reactors(scene)
    until(lambda: shares(scene) == [4], seconds=60)
    workflows = begin(scene, 20)

    others = [reactors(scene) for _ in range(2)]
    until(lambda: shares(scene) == [2, 1, 1], seconds=60)
    workflows += begin(scene, 20)

    victim = max([first, *others], key=lambda one: list(scene.owners().values()).count(one.pid))
    kill(victim)
    killed = time.monotonic()
    workflows += begin(scene, 20)
    until(lambda: shares(scene) == [2, 2] and victim.pid not in scene.owners().values())
    assert time.monotonic() - killed < 2 + 2  # the lease, and what it takes to notice

    workflows += begin(scene, 20)
    until(lambda: all(map(scene.is_completed, workflows)), seconds=60)
    for workflow in workflows:
        assert_each_task_ran_once(scene, workflow)
    for process in (first, *others):
        assert "lane_lost" not in scene.said(process)


def test_processes_of_up_have_a_lane_each_and_one_that_dies_is_replaced(scene: Scene) -> None:
    scene.divide(3)
    supervisor = scene.serve("up", f"{FLOWS}:Many", "--processes", "3")
    until(lambda: shares(scene) == [1, 1, 1], seconds=60)
    workflows = begin(scene, 12)

    dead = next(iter(scene.owners().values()))
    os.kill(dead, signal.SIGKILL)
    workflows += begin(scene, 12)
    until(lambda: len(re.findall(r"has pid (\d+)", scene.said(supervisor))) == 4)
    until(lambda: shares(scene) == [1, 1, 1] and dead not in scene.owners().values(), seconds=60)
    workflows += begin(scene, 12)

    until(lambda: all(map(scene.is_completed, workflows)), seconds=60)
    for workflow in workflows:
        assert Counter(scene.types(workflow))["task.completed"] == ITEMS
    assert stop(supervisor) == 0
    assert (scene.owners(), scene.sessions("scheduler"), scene.sessions("worker")) == ({}, [], [])
