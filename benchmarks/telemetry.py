"""What exporting traces costs a fan-out: the same one without and with a collector."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from statistics import mean

from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from .errors import ProcessDied
from .fan_out import WARM_UP, fan_out_s
from .figures import Measured
from .flows import AsyncFanOut
from .processes import READY_S, Process
from .stage import ENGINE, Stage, worker

#: Single fan-outs differ more than a tenth from each other, also by how processes happen to lie in
#: memory: so many servings with traces, and so many fan-outs of each serving.
ROUNDS, FAN_OUTS = 2, 5
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def measure(stage: Stage) -> Measured:
    """By turns, first and last without: what the machine does meanwhile concerns both."""
    tasks, rounds, fan_outs = (1_000, 1, 1) if stage.quick else (10_000, ROUNDS, FAN_OUTS)
    plain, traced = _tasks_per_s(stage, tasks, fan_outs), list[float]()
    for _ in range(rounds):
        with collecting(stage) as endpoint:
            os.environ[ENDPOINT] = endpoint
            try:
                traced += _tasks_per_s(stage, tasks, fan_outs)
            finally:
                del os.environ[ENDPOINT]
        plain += _tasks_per_s(stage, tasks, fan_outs)
    return {
        "tasks": tasks,
        "plain_tasks_per_s": mean(plain),
        "traced_tasks_per_s": mean(traced),
        "traced_to_plain_ratio": mean(traced) / mean(plain),
    }


def _tasks_per_s(stage: Stage, tasks: int, fan_outs: int) -> list[float]:
    """Of several fan-outs, one after the other, on the same processes."""
    serves = worker(AsyncFanOut.__name__)
    with stage.empty(), stage.serving(ENGINE, serves) as processes:

        async def main() -> list[float]:
            async with connect() as log:
                await fan_out_s(log, processes, AsyncFanOut, WARM_UP)
                return [
                    tasks / await fan_out_s(log, processes, AsyncFanOut, tasks)
                    for _ in range(fan_outs)
                ]

        return run_loop(main)


@contextmanager
def collecting(stage: Stage) -> Generator[str]:
    """A collector that forgets what it gets; its address."""
    port_file = stage.folder / "sink.port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.sink", str(port_file)]
    with Process(command, os.environ, stage.folder / "sink.out") as process:
        deadline = time.monotonic() + READY_S
        while not port_file.exists() or not port_file.read_text():
            process.check()
            if time.monotonic() > deadline:
                raise ProcessDied("the collector of the benchmark does not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port_file.read_text()}"
