"""Events per second when a long log is replayed, and when it is verified in every respect."""

from __future__ import annotations

import time
from typing import Any

from agentainer_flow.core.log import EventLog, decode_raw
from agentainer_flow.projections.fold import fold
from agentainer_flow.projections.snapshots import load_view, read_snapshot
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop
from agentainer_flow.sdk.verify import verify

from .errors import NotOnce
from .figures import Measured
from .flows import AsyncFanOut
from .runs import Run, run_all
from .stage import ENGINE, Stage, worker

PAGE = 1000


def measure(stage: Stage) -> Measured:
    with stage.empty():
        run = _write(stage, 1_000 if stage.quick else 50_000)

        async def main() -> Measured:
            async with connect() as log:
                return await _replay(log, run)

        return run_loop(main)


def _write(stage: Stage, tasks: int) -> Run:
    """A log of two events per task, as a fan-out leaves it."""
    with stage.serving(ENGINE, worker("AsyncFanOut")) as processes:

        async def main() -> Run:
            async with connect() as log:
                (run,) = await run_all(log, [AsyncFanOut()], processes, tasks, items=tasks)
                return run

        return run_loop(main)


async def _replay(log: EventLog, run: Run) -> Measured:
    begun = time.perf_counter()
    view = fold(run.workflow, await log.read(run.workflow))
    replayed = time.perf_counter() - begun
    begun = time.perf_counter()
    by_snapshot = await load_view(log, run.workflow)
    loaded = time.perf_counter() - begun
    if by_snapshot.version != view.version:
        raise NotOnce(f"{run.workflow}: by its snapshot it has {by_snapshot.version} events")
    kept = await read_snapshot(log, run.workflow)
    entries = await _entries(log, run.workflow)
    begun = time.perf_counter()
    again = fold(run.workflow, map(decode_raw, entries))
    folded = time.perf_counter() - begun
    begun, used = time.perf_counter(), time.process_time()
    verified = await verify(log, run.workflow)
    took, used = time.perf_counter() - begun, time.process_time() - used
    if not verified.clean:
        raise NotOnce(f"{run.workflow}: {verified.findings[0]}")
    if not view.version == again.version == run.events or view.status != "completed":
        raise NotOnce(f"{run.workflow}: folded to {view.version} of {run.events} events")
    return {
        "events": run.events,
        "replay_events_per_s": run.events / replayed,
        "decode_and_fold_events_per_s": run.events / folded,
        "verify_events_per_s": run.events / took,
        "verify_events_per_cpu_s": run.events / used,
        "whole_log_ms": 1000 * replayed,
        "by_snapshot_ms": 1000 * loaded,
        "events_behind_snapshot": run.events - (kept.version if kept else 0),
    }


async def _entries(log: EventLog, workflow: str) -> list[Any]:
    entries: list[Any] = []
    after = "-"
    key = log.keys.events(workflow)
    while page := await log.connection.wire.call("XRANGE", key, after, "+", "COUNT", PAGE):
        entries += page
        after = "(" + page[-1][0].decode()
    return entries
