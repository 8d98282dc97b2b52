"""What a sweep over seeds has to meet, or it proves nothing."""

from __future__ import annotations

from collections import Counter

#: Met in a few hundred runs.
SOMETIMES = (
    "agents adopted",
    "agents found again",
    "commits in conflict",
    "crash_after",
    "crash_before",
    "cut of a node",
    "delay",
    "delay_reply",
    "double",
    "duplicate commands told",
    "duplicate commits told",
    "freeze of a node",
    "kill of a node",
    "lanes lost",
    "leftovers removed",
    "lose_call",
    "lose_reply",
    "partition of a node",
    "Redis away",
    "results of tasks refused",
    "stop of a node",
    "tasks lost",
    "writes lost",
)
#: Met in a thousand.
RARE = (
    "agents killed",
    "changes of state refused",
    "commits fenced",
    "effects refused",
    "logs rolled back",
    "requests of agents refused",
    "results of agents refused",
)


def missing(seen: Counter[str], *, rare: bool) -> list[str]:
    """What should have been met and was not."""
    return [name for name in (*SOMETIMES, *(RARE if rare else ())) if not seen[name]]
