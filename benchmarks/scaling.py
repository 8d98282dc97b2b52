"""Whether costs stay flat: more partitions and engines, and larger fan-outs."""

from __future__ import annotations

from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from .fan_out import fan_out_s
from .figures import Measured
from .flows import AsyncFanOut
from .many import WARM_UP, all_lasted_s, run_many
from .stage import ENGINE, Stage, has_partitions, worker

PARTITIONS = (1, 2, 4)


def measure(stage: Stage) -> Measured:
    return {**_partitions(stage), **_sizes(stage)}


def _partitions(stage: Stage) -> Measured:
    """Workflows per second with as many engines, and as many workers, as partitions."""
    if not has_partitions():
        stage.note("scaling: this release has one partition, so 2 and 4 are not measured.")
    counts = PARTITIONS if has_partitions() else PARTITIONS[:1]
    return {
        f"partitions_{count}_workflows_per_s": _workflows_per_s(stage, count) for count in counts
    }


def _workflows_per_s(stage: Stage, partitions: int) -> float:
    workflows = 100 if stage.quick else 2_000
    settings = {"PARTITIONS": str(partitions)} if has_partitions() else {}
    commands = [ENGINE] * partitions + [worker("FiveSteps")] * partitions
    with stage.empty(**settings), stage.serving(*commands) as processes:

        async def main() -> float:
            async with connect() as log:
                await run_many(log, processes, WARM_UP)
                return all_lasted_s(await run_many(log, processes, workflows))

        return workflows / run_loop(main)


def _sizes(stage: Stage) -> Measured:
    """Cost per task of a small fan-out and of large ones, and the memory that they take."""
    sizes = (100, 1_000) if stage.quick else (1_000, 10_000, 100_000)
    measured: Measured = {}
    for tasks in sizes:
        measured.update(_fan_out(stage, tasks))
    costs = [measured[f"tasks_{tasks}_us_per_task"] for tasks in sizes]
    measured["cost_growth_ratio"] = costs[-1] / costs[0]
    largest = (measured[f"tasks_{sizes[-1]}_{role}_peak_mb"] for role in ("engine", "worker"))
    measured["largest_peak_mb"] = max(largest)
    return measured


def _fan_out(stage: Stage, tasks: int) -> Measured:
    with stage.empty(), stage.serving(ENGINE, worker("AsyncFanOut")) as processes:

        async def main() -> float:
            async with connect() as log:
                await fan_out_s(log, processes, AsyncFanOut, 10)
                return await fan_out_s(log, processes, AsyncFanOut, tasks)

        lasted_s = run_loop(main)
        engine, worker_ = (process.peak_memory_mb() for process in processes)
    return {
        f"tasks_{tasks}_us_per_task": lasted_s / tasks * 1e6,
        f"tasks_{tasks}_engine_peak_mb": engine,
        f"tasks_{tasks}_worker_peak_mb": worker_,
    }
