"""Many small workflows: how many per second, and what each leaves in Redis and in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import anyio

from agentainer_flow.core.log import EventLog
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from .figures import Measured
from .flows import FiveSteps
from .processes import Process
from .runs import Run, copies, count_in, run_all, until
from .stage import ENGINE, Stage, up, worker

STEPS = 5
WARM_UP = 20
#: Workflows of which each key is weighed.
SAMPLE = 50


def measure(stage: Stage) -> Measured:
    count = 100 if stage.quick else 2_000
    return {**_in_two_processes(stage, count), **_in_one_process(stage, count)}


def _in_one_process(stage: Stage, count: int) -> Measured:
    """With `agentainer up`, where results hop."""
    with stage.empty(), stage.serving(up("FiveSteps")) as processes:

        async def main() -> Measured:
            async with connect() as log:
                await run_many(log, processes, WARM_UP)
                lasted_s = all_lasted_s(await run_many(log, processes, count))
                return {"up_workflows_per_s": count / lasted_s}

        measured = run_loop(main)
        return {**measured, "up_peak_mb": processes[0].peak_memory_mb()}


def _in_two_processes(stage: Stage, count: int) -> Measured:
    settings = {"LEASE": "1"} if stage.quick else {}
    with stage.empty(**settings), stage.serving(ENGINE, worker("FiveSteps")) as processes:

        async def main() -> Measured:
            async with connect() as log:
                await run_many(log, processes, WARM_UP)
                before = await _used_bytes(stage, log, WARM_UP)
                runs = await run_many(log, processes, count)
                after = await _used_bytes(stage, log, WARM_UP + count)
                weights = await weigh(log, runs)
                lasted_s = all_lasted_s(runs)
                return {
                    "workflows": count,
                    "workflows_per_s": count / lasted_s,
                    "events_per_s": sum(run.events for run in runs) / lasted_s,
                    "redis_per_workflow_bytes": (after - before) / count,
                    **{f"redis_{kind}_bytes": weights[kind] for kind in sorted(weights)},
                }

        measured = run_loop(main)
        engine, worker_ = (process.peak_memory_mb() for process in processes)
    return {**measured, "engine_peak_mb": engine, "worker_peak_mb": worker_}


async def run_many(log: EventLog, processes: Sequence[Process], count: int) -> list[Run]:
    return await run_all(log, copies(FiveSteps, count), processes, STEPS)


def all_lasted_s(runs: Sequence[Run]) -> float:
    """From the first creation to the last end."""
    first = min(run.created_ms for run in runs)
    return (max(run.ended_ms for run in runs) - first) / 1000


async def _used_bytes(stage: Stage, log: EventLog, count: int) -> int:
    """What Redis holds once the documents are written and what all have read is cut off."""

    async def written() -> bool:
        return await count_in(log, log.redis.zcard, "workflows", "completed") >= count

    await until(written)
    await anyio.sleep(log.settings.lease)  # feeds are cut twice in that time
    return stage.server.used_memory_bytes()


async def weigh(log: EventLog, runs: Sequence[Run]) -> dict[str, float]:
    """Bytes of Redis per workflow, by what follows the id in the name of a key.

    `flow` is what the workflows share.
    """
    total: defaultdict[str, float] = defaultdict(float)
    sample = runs[:SAMPLE]
    for run in sample:
        own = log.keys.workflow(run.workflow)
        for key, weight in (await _weights(log, own)).items():
            total[key.removeprefix(own).strip(":") or "document"] += weight / len(sample)
    total["flow"] = sum((await _weights(log, log.keys.shared(""))).values()) / len(runs)
    return total


async def _weights(log: EventLog, prefix: str) -> dict[str, int]:
    """Bytes of each key that begins like this."""
    keys = [key async for key in log.redis.scan_iter(match=f"{prefix}*", count=5000)]
    return {key.decode(): int(await log.redis.memory_usage(key, samples=0)) for key in keys}
