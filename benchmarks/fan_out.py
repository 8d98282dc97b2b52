"""Tasks per second of one large fan-out, beside a bare loop of the same run."""

from __future__ import annotations

from statistics import median

from agentainer_flow import Workflow
from agentainer_flow.sdk.client import connect
from agentainer_flow.sdk.loop import run_loop

from . import bare_loop
from .figures import Measured
from .flows import AsyncFanOut, PlainFanOut
from .runs import run_all
from .stage import ENGINE, Stage, worker

KINDS: dict[str, type[Workflow]] = {"async": AsyncFanOut, "plain": PlainFanOut}


def measure(stage: Stage) -> Measured:
    tasks = 1_000 if stage.quick else 10_000
    measured: Measured = {"tasks": tasks}
    bare = [_bare(stage, tasks)]
    for kind, cls in KINDS.items():
        measured[f"{kind}_tasks_per_s"] = tasks / fan_out_s(stage, cls, tasks)
        bare.append(_bare(stage, tasks))
    measured["bare_tasks_per_s"] = median(bare)
    for kind in KINDS:
        ratio = measured[f"{kind}_tasks_per_s"] / measured["bare_tasks_per_s"]
        measured[f"{kind}_to_bare_ratio"] = ratio
    return measured


def _bare(stage: Stage, tasks: int) -> float:
    async def main() -> float:
        async with connect() as log:
            await bare_loop.tasks_per_s(log, bare_loop.BATCH)
            return await bare_loop.tasks_per_s(log, tasks)

    with stage.empty():
        return run_loop(main)


def fan_out_s(stage: Stage, cls: type[Workflow], tasks: int) -> float:
    """Seconds from the start of a fan-out to its end, one engine and one worker process."""
    with stage.empty(), stage.serving(ENGINE, worker(cls.__name__)) as processes:

        async def main() -> float:
            async with connect() as log:
                await run_all(log, [cls()], processes, 10, items=10)
                (run,) = await run_all(log, [cls()], processes, tasks, items=tasks)
                return run.lasted_s

        return run_loop(main)
