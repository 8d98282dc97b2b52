"""Read the queues: what may run in each, what runs and what waits."""

from __future__ import annotations

import msgspec

from ..core.log import EventLog

#: The name that stands for all queues together.
ALL_QUEUES = "*"


class QueueView(msgspec.Struct, frozen=True):
    name: str
    #: Tasks that may run at a time, and that may wait before new workflows are refused; 0: any.
    limit: int
    depth: int
    running: int
    waiting: int

    @property
    def is_limited(self) -> bool:
        """It has as many tasks running as it may."""
        return 0 < self.limit <= self.running

    @property
    def is_full(self) -> bool:
        """It refuses new workflows."""
        return 0 < self.depth <= self.waiting


async def list_queues(log: EventLog) -> list[QueueView]:
    """All queues that have limits, running or waiting tasks, by name; the first one is `*`."""
    settings = await _numbers(log, log.keys.shared("queues"))
    waiting = await _numbers(log, log.keys.shared("waiting"))
    waiting = {ALL_QUEUES: sum(waiting.values()), **waiting}
    running = {
        name.removeprefix("queue:"): count
        for name, count in (await _numbers(log, log.keys.shared("running"))).items()
        if name.startswith("queue:")
    }
    names = {name.rpartition(":")[0] for name in settings} | set(waiting) | set(running)
    views = [
        QueueView(
            name,
            settings.get(f"{name}:limit", 0),
            settings.get(f"{name}:depth", 0),
            running.get(name, 0),
            waiting.get(name, 0),
        )
        for name in sorted(names)
    ]
    return [view for view in views if any(msgspec.structs.astuple(view)[1:])]


async def _numbers(log: EventLog, key: str) -> dict[str, int]:
    found: dict[bytes, bytes] = await log.connection.call(lambda: log.redis.hgetall(key))
    return {name.decode(): int(number) for name, number in found.items()}
