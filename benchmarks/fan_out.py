"""Tasks per second of one large fan-out, beside a bare loop of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from agentainer_flow import Workflow
from agentainer_flow.core.log import EventLog
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from .bare_loop import tasks_per_s
from .figures import Measured
from .flows import AsyncFanOut, PlainFanOut
from .processes import Process
from .runs import run_all
from .stage import ENGINE, Stage, worker

KINDS: dict[str, type[Workflow]] = {"async": AsyncFanOut, "plain": PlainFanOut}
WARM_UP = 100


def measure(stage: Stage) -> Measured:
    tasks = 1_000 if stage.quick else 10_000
    serves = worker(*(cls.__name__ for cls in KINDS.values()))
    with stage.empty(), stage.serving(ENGINE, serves) as processes:

        async def main() -> Measured:
            async with connect() as log:
                return await _measure(log, processes, tasks)

        return run_loop(main)


async def _measure(log: EventLog, processes: Sequence[Process], tasks: int) -> Measured:
    """The bare loop goes before, between and after what it is compared with."""
    measured: Measured = {"tasks": tasks}
    await tasks_per_s(log, WARM_UP)
    bare = [await tasks_per_s(log, tasks)]
    for kind, cls in KINDS.items():
        await fan_out_s(log, processes, cls, WARM_UP)
        measured[f"{kind}_tasks_per_s"] = tasks / await fan_out_s(log, processes, cls, tasks)
        bare.append(await tasks_per_s(log, tasks))
    measured["bare_tasks_per_s"] = median(bare)
    for kind in KINDS:
        ratio = measured[f"{kind}_tasks_per_s"] / measured["bare_tasks_per_s"]
        measured[f"{kind}_to_bare_ratio"] = ratio
    return measured


async def fan_out_s(
    log: EventLog, processes: Sequence[Process], cls: type[Workflow], tasks: int
) -> float:
    """Seconds from the start of a fan-out to its end."""
    (run,) = await run_all(log, [cls()], processes, tasks, items=tasks)
    return run.lasted_s
