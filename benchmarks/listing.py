"""Time of a page of the listing among many workflows, by what it is filtered for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from agentainer_flow.core.log import EventLog
from agentainer_flow.projections.documents import iso
from agentainer_flow.projections.listing import list_workflows
from agentainer_flow.projections.pages import Filter, Place, read_page
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from .errors import Failed
from .figures import Measured
from .stage import Stage

PAGE, TIMES = 20, 31
#: Workflows that one pipeline writes.
PORTION = 1000
NAMES, TEAMS = 20, 10
#: Each 20th fails, each 50th runs.
FAILS, RUNS = 20, 50
BEGUN_MS = 1_700_000_000_000

FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "status": {"status": "failed"},
    "name": {"name": "name7"},
    "tag": {"tags": {"team": "t3"}},
    "time": {"created_to": BEGUN_MS + 5_000},
    "name_and_status": {"name": "name7", "status": "completed"},
    "tags_and_status": {"tags": {"team": "t3", "env": "e1"}, "status": "completed"},
    # What the sets have in common is nothing: all of the smallest one is looked at.
    "nothing_in_common": {"name": "name7", "tags": {"team": "t3"}},
}


def measure(stage: Stage) -> Measured:
    count = 2_000 if stage.quick else 100_000
    with stage.empty():
        run_loop(lambda: _fill(count))

        async def main() -> Measured:
            async with connect() as log:
                figures = {
                    f"{name}_page_ms": await _time(log, wanted) for name, wanted in FILTERS.items()
                }
                return {"workflows": count, **figures, "middle_page_ms": await _middle(log, count)}

        return run_loop(main)


async def _time(log: EventLog, wanted: dict[str, Any]) -> float:
    """Median of a page, ms."""
    times: list[float] = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        await list_workflows(log, limit=PAGE, **wanted)
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


async def _middle(log: EventLog, count: int) -> float:
    """Median of a page by cursor, in the middle of all, ms."""
    middle = Place(BEGUN_MS + count // 2, "z")
    times: list[float] = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        page = await read_page(log, Filter(), middle, PAGE)
        times.append(time.perf_counter() - begun)
        if len(page.items) != PAGE:
            raise Failed(f"a page has {len(page.items)} of {PAGE} workflows")
    return 1000 * statistics.median(times)


async def _fill(count: int) -> None:
    """Write what listings need of workflows of five steps: their sets and documents."""
    async with connect() as log:
        for start in range(0, count, PORTION):
            async with log.redis.pipeline(transaction=False) as pipe:
                for number in range(start, min(start + PORTION, count)):
                    _add(log, pipe, number)
                await pipe.execute()


def _add(log: EventLog, pipe: Any, number: int) -> None:
    workflow = f"{number:026x}"
    shown = _document(workflow, number)
    pipe.set(log.keys.workflow(workflow), msgspec.json.encode(shown))
    for parts in _sets(shown):
        key = log.keys.flow(log.keys.partition(workflow), *parts)
        pipe.zadd(key, {workflow: BEGUN_MS + number})


def _sets(shown: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield ("workflows",)
    yield ("workflows", shown["status"])
    yield ("named", shown["name"])
    for key, value in shown["tags"].items():
        yield ("tagged", key, value)


def _document(workflow: str, number: int) -> dict[str, Any]:
    moment = iso(BEGUN_MS + number)
    status = "running" if number % RUNS == 1 else "failed" if number % FAILS == 3 else "completed"
    tasks = {"total": 1, "running": 0, "completed": 1, "failed": 0}
    steps: list[dict[str, Any]] = [
        {"id": f"step{n}", "status": "completed", "tasks": tasks, "jobs": [], "version": 20}
        for n in range(5)
    ]
    return {
        "id": workflow,
        "name": f"name{number % NAMES}",
        "status": status,
        "version": 23,
        "created_at": moment,
        "updated_at": moment,
        "started_at": moment,
        "ended_at": moment,
        "steps": steps,
        "state": {},
        "tags": {"team": f"t{number % TEAMS}", "env": f"e{number // TEAMS % 2}"},
    }
