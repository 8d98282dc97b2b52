"""Steps that compute: forty light ones, and ten heavy ones, one after another on one worker."""

from __future__ import annotations

from agentainer_flow import Workflow
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from .figures import Measured
from .flows import FortyLight, TenHeavy, TenLight
from .runs import Run, run_all
from .stage import ENGINE, Stage, worker

WARM_UP = 10


def measure_light(stage: Stage) -> Measured:
    """W-40: 40 steps of fibo(10)."""
    return _measure(stage, FortyLight, 40)


def measure_heavy(stage: Stage) -> Measured:
    """W-10: 10 steps of fibo(33); of fibo(10) when it has to be quick."""
    return _measure(stage, TenLight if stage.quick else TenHeavy, 10)


def _measure(stage: Stage, cls: type[Workflow], steps: int) -> Measured:
    """Time in the steps, as they took it, and all other time from creation to end."""
    run = _run(stage, cls, steps)
    execution_ms = sum(run.results) / 1e6
    total_ms = run.lasted_s * 1000
    return {
        "steps": steps,
        "total_ms": total_ms,
        "execution_ms": execution_ms,
        "overhead_ms": total_ms - execution_ms,
        "overhead_per_step_ms": (total_ms - execution_ms) / steps,
    }


def _run(stage: Stage, cls: type[Workflow], steps: int) -> Run:
    serves = worker(cls.__name__, "TenLight")
    with stage.empty(), stage.serving(ENGINE, serves) as processes:

        async def main() -> Run:
            async with connect() as log:
                await run_all(log, [TenLight()], processes, WARM_UP)
                (run,) = await run_all(log, [cls()], processes, steps)
                return run

        return run_loop(main)
