"""What a run has met: a run that never met what it is for proves nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from agentainer_flow.projections.invariants import Entry

from .journal import Journal

#: Lines on stderr that tell of something, and what.
SAID = {
    "engine.lane_lost": "lanes lost",
    "worker.result_refused": "results refused (worker)",
    "launcher.removed_leftover": "leftovers removed",
    "redis.away": "Redis missed",
}
#: What must not be said.
NEVER = ("Traceback (most recent call last)", "workflow_set_aside")

#: The line of a traceback that says what was raised, also within a group of them.
ERROR = re.compile(r"^[ |]*([\w.]+: .*)$", re.MULTILINE)

#: What has to have been met in a run of so many seconds (with leases of 5 s).
DUE_S: dict[str, float] = {
    "tasks lost": 20,
    "tasks tried again": 20,
    "workflows cancelled": 30,
    "pauses": 20,
    "replies swallowed": 20,
    "agents adopted": 40,
    "lanes taken over": 40,
    "duplicate commits told": 120,
    "results of tasks refused": 60,
    "results of agents refused": 240,
    "commits fenced": 300,
    "requests of agents refused": 600,
}


def sightings(
    logs: Mapping[str, Sequence[Entry]],
    journal: Journal,
    proxies: Iterable[Counter[str]],
    texts: Iterable[str],
) -> Counter[str]:
    seen: Counter[str] = Counter()
    for counted in proxies:
        seen.update(counted)
    for text in texts:
        for words, name in SAID.items():
            seen[name] += text.count(words)
    types = Counter(entry.type for log in logs.values() for entry in log)
    seen["tasks lost"] = types["task.lost"]
    seen["tasks tried again"] = types["task.retried"]
    seen["workflows cancelled"] = types["workflow.cancelled"]
    seen["pauses"] = types["workflow.paused"]
    seen["agents adopted"] = sum(
        bool(entry.data.get("adopted"))
        for log in logs.values()
        for entry in log
        if entry.type == "job.launched"
    )
    partitions = {partition for _, partition, _ in journal.owners}
    seen["lanes taken over"] = len(journal.owners) - len(partitions)
    return +seen


def missing(seen: Counter[str], seconds: float, lease: float) -> list[str]:
    """What a run of this length should have met and has not."""
    longer = max(1.0, lease / 5)
    return [name for name, due_s in DUE_S.items() if seconds >= due_s * longer and not seen[name]]


def complaints(name: str, text: str) -> list[str]:
    """What a process said that it must not, with the line that tells most."""
    found: list[str] = []
    for words in NEVER:
        if words in text:
            after = text[text.index(words) :]
            found.append(f"{name} said {words!r}: {(ERROR.findall(after) or [after])[-1]}")
    return found
