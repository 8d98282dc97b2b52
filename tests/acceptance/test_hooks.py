"""`@on`: the workers of a file call its functions with events, also with those they missed."""

from __future__ import annotations

from pathlib import Path

from .scene import Scene, kill, until

FLOWS = Path(__file__).with_name("hook_flows.py")


def lines(scene: Scene) -> list[str]:
    return sorted(scene.traces.read_text().split()) if scene.traces.exists() else []


def test_functions_are_called_and_miss_nothing(scene: Scene) -> None:
    worker = scene.serve("up", str(FLOWS))
    until(lambda: "ready" in scene.said(worker))
    until(lambda: scene.redis.hlen("flow:subscriptions") == 2)
    scene.begin(f"{FLOWS}:Hooked", question="one")
    until(lambda: lines(scene) == ["ONE", "started"])
    kill(worker)
    scene.begin(f"{FLOWS}:Hooked", question="two")
    scene.serve("up", str(FLOWS))
    until(lambda: set(lines(scene)) == {"ONE", "TWO", "started"} and len(lines(scene)) >= 4, 90)
