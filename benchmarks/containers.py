"""What a container costs beyond Docker's own work, and how soon running ones are found again."""

from __future__ import annotations

from statistics import median

from agentainer_flow import Workflow
from agentainer_flow.sdk.client import connect
from agentainer_flow.sdk.loop import run_loop

from . import adoption, bare_docker
from .figures import Measured
from .flows import EightAtATime, OneAtATime
from .runs import run_all
from .stage import ENGINE, Stage, worker

LAUNCHER = ("launcher",)
DOCKER = {"RUNTIME": "docker"}
#: Name in the figures -> workflow class, launches at a time.
WAYS: dict[str, tuple[type[Workflow], int]] = {
    "one_at_a_time": (OneAtATime, 1),
    "eight_at_a_time": (EightAtATime, 8),
}


def measure(stage: Stage) -> Measured:
    stage.docker.need()
    measured: Measured = {}
    for name, (cls, at_a_time) in WAYS.items():
        count = (2 if stage.quick else 20) * (at_a_time if at_a_time > 1 else 1)
        measured.update(_overhead(stage, name, cls, count, at_a_time))
    return {**measured, **adoption.measure(stage)}


def _overhead(stage: Stage, name: str, cls: type[Workflow], count: int, at_a_time: int) -> Measured:
    bare = median(bare_docker.launches_ms(stage.folder / "bare", count, at_a_time=at_a_time))
    ours = median(_launches_ms(stage, cls, count))
    return {
        f"{name}_docker_p50_ms": bare,
        f"{name}_ours_p50_ms": ours,
        f"{name}_overhead_p50_ms": ours - bare,
    }


def _launches_ms(stage: Stage, cls: type[Workflow], count: int) -> list[float]:
    """Milliseconds from a step's asking for an agent to its having the answer."""
    commands = (ENGINE, worker(cls.__name__), LAUNCHER)
    with stage.empty(**DOCKER), stage.serving(*commands) as processes:

        async def main() -> list[float]:
            async with connect() as log:
                await run_all(log, [cls()], processes, 1, items=1)
                (run,) = await run_all(log, [cls()], processes, count, items=count)
                return [took / 1e6 for took in run.results]

        return run_loop(main)
