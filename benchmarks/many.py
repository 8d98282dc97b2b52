"""Many small workflows: how many per second, and what each leaves in Redis and in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from agentainer_flow.core.log import EventLog
from agentainer_flow.sdk.client import connect
from agentainer_flow.sdk.loop import run_loop

from .figures import Measured
from .flows import FiveSteps
from .processes import Process
from .runs import Run, copies, count_in, run_all, until
from .stage import ENGINE, Stage, worker

STEPS = 5
WARM_UP = 20
#: Workflows of which each key is weighed.
SAMPLE = 50


@dataclass(frozen=True)
class Outcome:
    runs: list[Run]
    #: Bytes of Redis when nothing had been started, and when all had ended.
    before: int
    after: int
    #: Bytes per workflow by kind of key.
    weights: dict[str, float]

    @property
    def lasted_s(self) -> float:
        first = min(run.created_ms for run in self.runs)
        return (max(run.ended_ms for run in self.runs) - first) / 1000


def measure(stage: Stage) -> Measured:
    count = 100 if stage.quick else 2_000
    with stage.empty(), stage.serving(ENGINE, worker("FiveSteps")) as processes:
        outcome = run_many(stage, processes, count)
        engine, worker_ = (process.peak_memory_mb() for process in processes)
    return {
        "workflows": count,
        "workflows_per_s": count / outcome.lasted_s,
        "events_per_s": sum(run.events for run in outcome.runs) / outcome.lasted_s,
        "engine_peak_mb": engine,
        "worker_peak_mb": worker_,
        "redis_per_workflow_bytes": (outcome.after - outcome.before) / count,
        **{f"redis_{kind}_bytes": weight for kind, weight in sorted(outcome.weights.items())},
    }


def run_many(stage: Stage, processes: Sequence[Process], count: int) -> Outcome:
    """Run so many workflows on processes that serve them."""

    async def main() -> Outcome:
        async with connect() as log:
            await run_all(log, copies(FiveSteps, WARM_UP), processes, STEPS)
            await _wait_for_documents(log, WARM_UP)
            before = stage.server.used_memory_bytes()
            runs = await run_all(log, copies(FiveSteps, count), processes, STEPS)
            await _wait_for_documents(log, WARM_UP + count)
            after = stage.server.used_memory_bytes()
            return Outcome(runs, before, after, await weigh(log, runs))

    return run_loop(main)


async def _wait_for_documents(log: EventLog, count: int) -> None:
    """They are written a little later than the last event."""

    async def written() -> bool:
        return await count_in(log, log.redis.zcard, "workflows", "completed") >= count

    await until(written)


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
