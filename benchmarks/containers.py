"""What a container costs beyond Docker's own work, and how soon running ones are found again."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from agentainer_flow import Workflow
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from . import adoption, bare_docker
from .figures import Measured
from .flows import EightAtATime, OneAtATime
from .processes import Process
from .runs import run_all
from .stage import ENGINE, Stage, worker

LAUNCHER = ("launcher",)
ROUNDS = 4
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
        measured.update(_overhead(stage, name, cls, at_a_time))
    return {**measured, **adoption.measure(stage)}


def _overhead(stage: Stage, name: str, cls: type[Workflow], at_a_time: int) -> Measured:
    """Launches of both sorts in turn, so that both see the same machine."""
    bare: list[float] = []
    ours: list[float] = []
    count = at_a_time if stage.quick else max(5, 2 * at_a_time)
    with stage.empty(**DOCKER), stage.serving(ENGINE, worker(cls.__name__), LAUNCHER) as processes:
        _launches_ms(cls, processes, 1)
        for number in range(1 if stage.quick else ROUNDS):
            folder = stage.folder / f"{name}-{number}"
            bare += bare_docker.launches_ms(folder, count, at_a_time=at_a_time)
            ours += _launches_ms(cls, processes, count)
    return {
        f"{name}_docker_p50_ms": median(bare),
        f"{name}_ours_p50_ms": median(ours),
        f"{name}_overhead_p50_ms": median(ours) - median(bare),
    }


def _launches_ms(cls: type[Workflow], processes: Sequence[Process], count: int) -> list[float]:
    """Milliseconds from a step's asking for an agent to its having the answer."""

    async def main() -> list[float]:
        async with connect() as log:
            (run,) = await run_all(log, [cls()], processes, count, items=count)
            return [took / 1e6 for took in run.results]

    return run_loop(main)
