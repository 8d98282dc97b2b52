"""How long one step takes to follow another: across processes, and in one (`run()`)."""

from __future__ import annotations

import itertools

from agentainer_flow import Workflow
from agentainer_flow.projections.listing import newest_id
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from .figures import Measured, percentile
from .flows import AsyncChain20, AsyncChain200, PlainChain20, PlainChain200
from .runs import Run, read_run, run_all
from .stage import ENGINE, FLOWS, Stage, worker

RUN_S = 120.0

#: Kind of body -> class, number of steps.
Kinds = dict[str, tuple[type[Workflow], int]]

LONG: Kinds = {"async": (AsyncChain200, 200), "plain": (PlainChain200, 200)}
SHORT: Kinds = {"async": (AsyncChain20, 20), "plain": (PlainChain20, 20)}


def measure(stage: Stage) -> Measured:
    kinds = SHORT if stage.quick else LONG
    runs = {f"across_{kind}": run for kind, run in _across(stage, kinds).items()}
    runs |= {f"in_process_{kind}": _inside(stage, *kinds[kind]) for kind in kinds}
    return {
        f"{name}_p{percent}_ms": percentile(per_step_ms(run), percent)
        for name, run in runs.items()
        for percent in (50, 95)
    }


def per_step_ms(run: Run) -> list[float]:
    """From the start of one step's body to the start of the next, as the bodies noted it."""
    pairs = itertools.pairwise(run.results)
    return [(following - one) / 1e6 for one, following in pairs]


def _across(stage: Stage, kinds: Kinds) -> dict[str, Run]:
    serves = worker(*(cls.__name__ for cls, _ in kinds.values()))
    with stage.empty(), stage.serving(ENGINE, serves) as processes:

        async def main() -> dict[str, Run]:
            runs: dict[str, Run] = {}
            async with connect() as log:
                for kind, (cls, steps) in kinds.items():
                    await run_all(log, [cls()], processes, steps)
                    (runs[kind],) = await run_all(log, [cls()], processes, steps)
            return runs

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
