"""How long one step takes to follow another: across processes, and in one (`run()`)."""

from __future__ import annotations

import itertools

from agentainer_flow import Workflow
from agentainer_flow.projections.listing import newest_id
from agentainer_flow.sdk.client import connect
from agentainer_flow.sdk.loop import run_loop

from .figures import Measured, percentile
from .flows import AsyncChain20, AsyncChain200, PlainChain20, PlainChain200
from .runs import Run, read_run, run_all
from .stage import ENGINE, FLOWS, Stage, worker

RUN_S = 120.0


def measure(stage: Stage) -> Measured:
    steps = 20 if stage.quick else 200
    kinds = (
        {"async": AsyncChain20, "plain": PlainChain20}
        if stage.quick
        else {"async": AsyncChain200, "plain": PlainChain200}
    )
    measured: Measured = {"steps": steps}
    for kind, cls in kinds.items():
        across, inside = _across(stage, cls, steps), _inside(stage, cls, steps)
        for place, run in (("across", across), ("in_process", inside)):
            for percent in (50, 95):
                measured[f"{place}_{kind}_p{percent}_ms"] = percentile(per_step_ms(run), percent)
    return measured


def per_step_ms(run: Run) -> list[float]:
    """From the start of one step's body to the start of the next, as the bodies noted it."""
    pairs = itertools.pairwise(run.results)
    return [(following - one) / 1e6 for one, following in pairs]


def _across(stage: Stage, cls: type[Workflow], steps: int) -> Run:
    with stage.empty(), stage.serving(ENGINE, worker(cls.__name__)) as processes:

        async def main() -> Run:
            async with connect() as log:
                await run_all(log, [cls()], processes, steps)
                (run,) = await run_all(log, [cls()], processes, steps)
                return run

        return run_loop(main)


def _inside(stage: Stage, cls: type[Workflow], steps: int) -> Run:
    """As `run()` does it, in a process of its own."""

    async def main() -> Run:
        async with connect() as log:
            return await read_run(log, await newest_id(log) or "", steps)

    with stage.empty():
        with stage.process("workflow", "run", f"{FLOWS}:{cls.__name__}") as process:
            process.wait(RUN_S)
        return run_loop(main)
