"""What only costs time, or work that is done again, and breaks no other rule.

Whoever misses a ring of a bell finds its work a while later, and what was lost is done once more.
So nothing may take long, and where nobody dies or stands still nothing may be lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from agentainer_flow.projections.invariants import Entry

from .plan import Plan
from .recorder import Container

Logs = Mapping[str, Sequence[Entry]]

#: The longest time without any event, ms: as a step takes, and with faults until others take over.
LONGEST, LONGEST_WITH_FAULTS = 5_500, 11_000
#: What an order to freeze takes to get there, ms.
FREEZING = 1_000


def judge_calm(
    plan: Plan, logs: Logs, containers: Sequence[Container], taken_back: int
) -> Iterator[str]:
    """`taken_back`: how often somebody's claims were."""
    yield from _gaps(plan, logs)
    if not plan.is_calm:
        return
    if taken_back:
        yield f"{taken_back} times something claimed was taken back, and nobody died"
    for workflow, log in logs.items():
        for entry in log:
            if entry.type == "task.lost":
                yield f"{workflow}: a task was lost at {entry.version}, and nobody died"
            if entry.data.get("adopted"):
                yield f"{workflow}: an agent was adopted at {entry.version}, and nobody died"
        yield from _thawed(workflow, log, containers)


def _gaps(plan: Plan, logs: Logs) -> Iterator[str]:
    """Clocks that are off, and hosts that are gone, are waited for."""
    skewed = any(node.skew_s for node in plan.nodes)
    if skewed or any(fault.kind in ("clock", "host") for fault in plan.timed):
        return
    longest = LONGEST if plan.is_calm else LONGEST_WITH_FAULTS
    times = sorted(entry.ts for log in logs.values() for entry in log)
    for one, next_one in pairwise(times):
        if next_one - one > longest:
            yield f"nothing happened for {(next_one - one) / 1000:.1f} s"


def _thawed(workflow: str, log: Sequence[Entry], containers: Sequence[Container]) -> Iterator[str]:
    """No agent comes to its end in a pause that stops agents."""
    ended_ms = {one.job: one.ended_ms for one in containers if one.workflow == workflow}
    launched: set[str] = set()
    there: set[str] = set()
    frozen_ms = 0
    for entry in log:
        match entry.type:
            case "job.launched":
                launched.add(entry.data["job"])
            case "workflow.paused" if entry.data.get("freeze"):
                frozen_ms = entry.ts
                there = set(launched)
            case "workflow.resumed" | "workflow.cancel_requested" if frozen_ms:
                for job in sorted(there):
                    if frozen_ms + FREEZING < ended_ms.get(job, 0) < entry.ts:
                        yield f"{workflow}: agent {job} ran on in the pause that ended then"
                frozen_ms = 0
            case _:
                pass
