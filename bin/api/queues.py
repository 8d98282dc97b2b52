"""Queues: what may run in each, what runs and what waits."""

from __future__ import annotations

import msgspec

from ..projections.queues import QueueView, list_queues
from .calls import Call
from .operations import Answer, Operation, Reply


class QueueList(msgspec.Struct, frozen=True):
    """Queues that have limits or tasks; `*` is all of them together. A limit of 0 is none."""

    items: list[QueueView]


async def list_all(call: Call) -> Answer:
    return Answer(QueueList(await list_queues(call.log)))


OPERATIONS = (
    Operation(
        "GET",
        "/queues",
        "listQueues",
        "List queues",
        list_all,
        "queues",
        {200: Reply("Queues by name.", QueueList)},
        text="`agentainer queue set` changes their limits.",
    ),
)
