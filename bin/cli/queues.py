"""Look at queues and change their limits."""

from __future__ import annotations

from ..core.log import EventLog
from ..projections.queues import QueueView, list_queues
from .output import Cell, console, print_json, print_table
from .session import with_log

COLUMNS = ("queue", "limit", "running", "depth", "waiting")


def show(*, as_json: bool) -> None:
    found = with_log(list_queues)
    if as_json:
        print_json(found)
    elif found:
        _print(found)
    else:
        console().print("no queue has limits or tasks")


def change(name: str, *, limit: int | None, depth: int | None, as_json: bool) -> None:
    async def set_limits(log: EventLog) -> QueueView:
        await log.scripts.set_queue(name, limit=limit, depth=depth)
        found = {queue.name: queue for queue in await list_queues(log)}
        return found.get(name, QueueView(name, 0, 0, 0, 0))

    changed = with_log(set_limits)
    if as_json:
        print_json(changed)
    else:
        _print([changed])


def _print(queues: list[QueueView]) -> None:
    print_table(COLUMNS, map(_row, queues), whole=["queue"])


def _row(queue: QueueView) -> list[Cell]:
    return [
        queue.name,
        str(queue.limit or "none"),
        str(queue.running),
        str(queue.depth or "none"),
        str(queue.waiting),
    ]
