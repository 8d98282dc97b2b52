"""Every role in a process of its own: they work together, stop in order, and die without harm."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from .scene import FLOWS, PIPELINE, THREE, Process, Scene, kill, stop, until

SLOW = f"{PIPELINE}:SlowPipeline"
#: How each role is started for `SlowPipeline`.
APART = {"reactors": ["reactors"], "worker": ["worker", SLOW], "launcher": ["launcher"]}

each_role = pytest.mark.parametrize("role", APART)


def start_apart(scene: Scene) -> dict[str, Process]:
    return {role: scene.serve(*command) for role, command in APART.items()}


def launch_three(scene: Scene) -> dict[str, Process]:
    """All roles apart, and a workflow whose three agents run."""
    processes = start_apart(scene)
    scene.begin(SLOW, chunks=3)
    until(lambda: scene.launched() == THREE)
    return processes


def assert_everything_happened_once(scene: Scene) -> None:
    until(scene.is_completed)
    assert scene.launched() == THREE
    types = Counter(scene.types())
    assert (types["job.requested"], types["job.succeeded"], types["task.completed"]) == (3, 3, 5)
    assert types["step.completed"] == 3


def test_roles_apart_finish_a_pipeline(scene: Scene) -> None:
    processes = start_apart(scene)
    scene.let_agents_end()
    scene.begin(SLOW, chunks=3)

    assert_everything_happened_once(scene)
    writers = {fields["type"].split(".")[0]: fields["by"] for _, fields in scene.log()}
    assert f":{processes['worker'].pid}:" in writers["task"]
    assert f":{processes['launcher'].pid}:" in writers["job"]
    assert writers["step"] == "engine"


@each_role
def test_a_role_killed_midway_is_followed_by_the_next(scene: Scene, role: str) -> None:
    processes = launch_three(scene)
    kill(processes[role])

    scene.let_agents_end()
    scene.serve(*APART[role])

    assert_everything_happened_once(scene)


@each_role
def test_a_role_that_stops_hands_over_long_before_its_lease_ends(scene: Scene, role: str) -> None:
    scene.environment["AGENTAINER_LEASE"] = "600"
    processes = launch_three(scene)

    assert stop(processes[role]) == 0
    scene.serve(*APART[role])
    scene.let_agents_end()

    assert_everything_happened_once(scene)


def test_all_roles_killed_at_once_are_followed_by_others(scene: Scene) -> None:
    for process in launch_three(scene).values():
        kill(process)

    scene.let_agents_end()
    start_apart(scene)

    assert_everything_happened_once(scene)


def test_a_worker_that_stops_lets_its_tasks_end_and_hands_back_the_others(scene: Scene) -> None:
    scene.environment |= {"AGENTAINER_LEASE": "600", "AGENTAINER_GRACE": "3"}
    scene.serve("reactors", "--only", "scheduler")  # no janitor that could help
    first = scene.serve("worker", f"{FLOWS}:Gated", "--slots", "2")
    scene.begin(f"{FLOWS}:Gated", items=3)
    until(lambda: scene.launched() == ["0", "1"])

    first.send_signal(signal.SIGTERM)
    until(lambda: "handing over" in scene.said(first))
    open_gate(scene, 0)
    assert first.wait(timeout=30) == 0
    assert [task["index"] for task in scene.of("task.completed")] == [0]
    assert [task["index"] for task in scene.of("task.lost")] == [1]
    assert scene.sessions("worker") == []

    second = scene.serve("worker", f"{FLOWS}:Gated")
    open_gate(scene, 1, 2)
    until(scene.is_completed)
    by = {task["index"]: task["by"].split(":")[1] for task in scene.of("task.completed")}
    assert by == {0: str(first.pid), 1: str(second.pid), 2: str(second.pid)}


def test_a_worker_that_was_frozen_is_refused(scene: Scene) -> None:
    scene.serve("reactors")
    frozen = scene.serve("worker", f"{FLOWS}:Gated")
    scene.begin(f"{FLOWS}:Gated", items=1)
    until(lambda: scene.launched() == ["0"])

    frozen.send_signal(signal.SIGSTOP)
    successor = scene.serve("worker", f"{FLOWS}:Gated")
    until(lambda: scene.launched() == ["0", "0"])
    frozen.send_signal(signal.SIGCONT)
    open_gate(scene, 0)

    until(lambda: "worker.result_refused" in scene.said(frozen))
    until(scene.is_completed)
    (completed,) = scene.of("task.completed")
    assert f":{successor.pid}:" in completed["by"]


def open_gate(scene: Scene, *items: int) -> None:
    for item in items:
        Path(f"{scene.traces}.{item}").touch()


def test_a_small_workflow_does_not_wait_for_a_large_one(scene: Scene) -> None:
    scene.serve("reactors", "--only", "scheduler")  # no janitor that cuts the feed
    large = scene.begin(f"{FLOWS}:Many", items=2000)
    small = scene.begin(f"{FLOWS}:Many", items=10)
    until(lambda: "step.scheduled" in scene.types(large) and "step.scheduled" in scene.types(small))

    scene.serve("worker", f"{FLOWS}:Many", "--slots", "10")
    until(lambda: scene.is_completed(large) and scene.is_completed(small))

    story = list(scene.feed())
    before = Counter(story[: story.index((small, "workflow.completed"))])
    assert 0 < before[(large, "task.completed")] < 500


def test_a_limit_of_a_queue_holds_over_workers_and_workflows(scene: Scene) -> None:
    scene.tell("queue", "set", "crowd", "--limit", "3")
    scene.serve("reactors", "--only", "scheduler")
    for _ in range(2):
        scene.serve("worker", f"{FLOWS}:Many")
    until(lambda: len(scene.sessions("worker")) == 2)
    ids = [scene.begin(f"{FLOWS}:Many", items=60) for _ in range(2)]
    until(lambda: all(scene.is_completed(workflow) for workflow in ids))

    assert most_running(kind for _, kind in scene.feed()) == 3


def most_running(kinds: Iterable[str]) -> int:
    change = {"task.started": 1, "task.completed": -1, "task.failed": -1, "task.lost": -1}
    return max(itertools.accumulate(change.get(kind, 0) for kind in kinds))


def test_two_processes_share_the_work_and_one_that_dies_is_replaced(scene: Scene) -> None:
    supervisor = scene.serve("up", str(FLOWS), "--processes", "2")
    until(lambda: len(scene.sessions("worker")) == len(scene.sessions("scheduler")) == 2)

    os.kill(pids(scene, supervisor)[0], signal.SIGKILL)
    until(lambda: "ended with -9; starting it again" in scene.said(supervisor))
    until(lambda: working(scene) == set(pids(scene, supervisor)[1:]) and len(working(scene)) == 2)
    workflow = scene.begin(f"{FLOWS}:Many", items=200)
    until(lambda: scene.is_completed(workflow))

    assert stop(supervisor) == 0
    assert scene.sessions("worker") == []
    assert len(pids(scene, supervisor)) == 3


def test_processes_can_be_stopped_while_they_start(scene: Scene) -> None:
    supervisor = scene.serve("up", str(FLOWS), "--processes", "2")
    until(lambda: pids(scene, supervisor))
    assert stop(supervisor) == 0


def test_processes_end_with_their_supervisor(scene: Scene) -> None:
    supervisor = scene.serve("up", str(FLOWS), "--processes", "2")
    until(lambda: len(scene.sessions("worker")) == 2)

    kill(supervisor)

    until(lambda: scene.sessions("worker") == scene.sessions("scheduler") == [])


def working(scene: Scene) -> set[int]:
    return {int(session.split(":")[1]) for session in scene.sessions("worker")}


def pids(scene: Scene, supervisor: Process) -> list[int]:
    return [int(pid) for pid in re.findall(r"has pid (\d+)", scene.said(supervisor))]
