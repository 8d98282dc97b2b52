"""Look at queues and change their limits."""

from __future__ import annotations

from ..core.log import EventLog
from ..sdk.queue_looks import QueueLook, look_at_queues, queue_look
from .output import Cell, console, duration, print_json, print_table
from .session import with_log

COLUMNS = ("queue", "limit", "running", "used", "depth", "waiting", "oldest", "workflows")


def show(*, as_json: bool) -> None:
    found = with_log(look_at_queues)
    if as_json:
        print_json(found)
    elif found:
        _print(found)
    else:
        console().print("no queue has limits or tasks")


def change(name: str, *, limit: int | None, depth: int | None, as_json: bool) -> None:
    async def set_limits(log: EventLog) -> QueueLook:
        await log.scripts.set_queue(name, limit=limit, depth=depth)
        return await queue_look(log, name)

    changed = with_log(set_limits)
    if as_json:
        print_json(changed)
    else:
        _print([changed])


def _print(queues: list[QueueLook]) -> None:
    print_table(COLUMNS, map(row, queues), whole=["queue"], spare=["workflows", "used"])


def row(queue: QueueLook) -> list[Cell]:
    used = "" if queue.utilisation is None else f"{queue.utilisation:.0%}"
    return [
        queue.name,
        str(queue.limit or "none"),
        str(queue.running),
        used,
        str(queue.depth or "none"),
        str(queue.waiting),
        duration(queue.oldest_s) if queue.waiting else "",
        str(queue.workflows),
    ]


def share(used: int, most: int) -> str:
    """`(40%)`; nothing when there is nothing to use."""
    return f"({used / most:.0%})" if most else ""
