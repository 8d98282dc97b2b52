"""How long it took until somebody else went on with what a fault had taken away. Pure.

    task     from the fault that hit its worker to the next `task.started`
    unhit    from the loss of a task whose worker no fault had hit while it had the task, to the
             next `task.started`: it was taken from one that may live
    agent    from the fault that hit its launcher to the next `job.launched`; when a launcher that
             has claimed it is hit before that, from then on
    lane     from the fault that hit its engine to the next commit of an engine in that partition;
             when its successor is hit before that, from then on

A fault is the kill, freeze or partition of the process; of several the last one before the loss.
One that was over when the process got what it lost is not to blame.
Times in which nobody could have gone on are taken off: while Redis was away, or Docker, where it is
about agents, while no process of the role that takes over or of the reactors, which have to notice,
ran, and while the machine was too busy with other things. Those that had to wait for the end of a
pause are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from agentainer_flow.projections.invariants import Entry, Spread, spread

from .journal import Hit, Journal, Span

_PID = re.compile(r"^\w+@[^:]*:(\d+):")
TAKING = ("kill", "freeze", "partition")
#: Written by a process that is dead, and still on its way to Redis, ms.
ON_ITS_WAY_MS = 50
#: What ends the wait of a lost task without a start.
_GIVEN_UP = ("task.failed", "task.cancelled", "step.failed", "step.cancelled", "workflow.")


class Recovered(msgspec.Struct, frozen=True):
    """One recovery: when the fault was, and when somebody went on. ms."""

    what: str
    fault_ms: float
    again_ms: float
    #: What is left of it when the time is taken off in which it could not be.
    net_ms: float
    place: str = ""


class Ways(msgspec.Struct, frozen=True):
    """Times in which something was away, by role; `redis` is one."""

    away: Mapping[str, Sequence[Span]]

    def net(self, begin_ms: float, end_ms: float, roles: Iterable[str]) -> float:
        names = ["redis", "machine", *roles]
        spans = sorted(span for name in names for span in self.away.get(name, ()))
        return end_ms - begin_ms - covered(spans, begin_ms, end_ms)


def covered(spans: Iterable[Span], begin_ms: float, end_ms: float) -> float:
    """How much of a time the spans cover, each moment counted once; they are in order."""
    total, reached = 0.0, begin_ms
    for span in spans:
        low, high = max(span.begin_ms, reached), min(span.end_ms, end_ms)
        if high > low:
            total += high - low
            reached = high
    return total


def recoveries(
    logs: Mapping[str, Sequence[Entry]], partitions: Mapping[str, int], journal: Journal, ways: Ways
) -> list[Recovered]:
    """`partitions` has that of each workflow."""
    by_pid: dict[int, list[Hit]] = {}
    for hit in journal.hits:
        if hit.kind in TAKING:
            by_pid.setdefault(hit.pid, []).append(hit)
    found: list[Recovered] = []
    for workflow, entries in logs.items():
        found += _tasks(workflow, entries, by_pid, ways)
        found += _agents(workflow, entries, by_pid, journal, ways)
    return [*found, *_lanes(logs, partitions, journal, ways)]


def _tasks(
    workflow: str, entries: Sequence[Entry], by_pid: Mapping[int, list[Hit]], ways: Ways
) -> Iterator[Recovered]:
    begun: dict[tuple[str, int], int] = {}
    #: What took a task away, and when.
    lost: dict[tuple[str, int], tuple[str, float]] = {}
    is_running = True
    for entry in entries:
        place = (str(entry.data.get("step")), int(entry.data.get("index") or 0))
        if entry.type in ("workflow.paused", "workflow.cancel_requested", "workflow.resumed"):
            is_running = entry.type == "workflow.resumed"
            lost.clear()
        elif entry.type == "task.lost" and is_running:
            hit = _fault(by_pid, str(entry.data.get("worker")), begun.get(place, 0), entry.ts)
            lost[place] = ("task", hit.at_ms) if hit else ("unhit", entry.ts)
        elif entry.type == "task.started":
            begun[place] = entry.ts
            if place in lost:
                what, since_ms = lost.pop(place)
                net = ways.net(since_ms, entry.ts, ("reactors", "worker"))
                where = f"{workflow} {entry.version} {place[0]}[{place[1]}]"
                yield Recovered(what, since_ms, entry.ts, net, where)
        elif entry.type.startswith(_GIVEN_UP):
            lost.pop(place, None)


def _agents(
    workflow: str,
    entries: Sequence[Entry],
    by_pid: Mapping[int, list[Hit]],
    journal: Journal,
    ways: Ways,
) -> Iterator[Recovered]:
    launched: dict[str, Entry] = {}
    for entry in entries:
        if entry.type != "job.launched":
            continue
        job = str(entry.data["job"])
        before = launched.get(job)
        launched[job] = entry
        if before and (hit := _fault(by_pid, before.by, before.ts, entry.ts)):
            hit = _last_hit_of_agent(journal, (workflow, job), hit, entry.ts)
            net = ways.net(hit.at_ms, entry.ts, ("reactors", "launcher", "docker"))
            where = f"{workflow} {entry.version} {job}"
            yield Recovered("agent", hit.at_ms, entry.ts, net, where)


def _last_hit_of_agent(
    journal: Journal, agent: tuple[str, str], first: Hit, before_ms: float
) -> Hit:
    """The fault after which the agent was taken over: that of a successor which had claimed it."""
    again = [
        hit
        for hit in journal.hits
        if hit.kind in TAKING and agent in hit.claimed and first.at_ms < hit.at_ms < before_ms
    ]
    return again[-1] if again else first


def _fault(
    by_pid: Mapping[int, list[Hit]], session: str, held_ms: float, before_ms: float
) -> Hit | None:
    """The last fault before a loss that hit the process of a session and was not over before."""
    found = _PID.match(session)
    hits = by_pid.get(int(found[1]), []) if found else []
    return next(
        (
            hit
            for hit in reversed(hits)
            if hit.at_ms < before_ms and (hit.until_ms is None or hit.until_ms >= held_ms)
        ),
        None,
    )


def _lanes(
    logs: Mapping[str, Sequence[Entry]],
    partitions: Mapping[str, int],
    journal: Journal,
    ways: Ways,
) -> Iterator[Recovered]:
    commits: dict[int, list[int]] = {}
    for workflow, entries in logs.items():
        times = [entry.ts for entry in entries if entry.by.startswith("engine")]
        commits.setdefault(partitions[workflow], []).extend(times)
    for times in commits.values():
        times.sort()
    for hit in journal.hits:
        for partition in hit.owned if hit.kind in TAKING else ():
            since = hit.at_ms + ON_ITS_WAY_MS
            again = next((ms for ms in commits.get(partition, []) if ms > since), None)
            if again is not None and not _is_hit_again(journal, partition, hit.at_ms, again):
                net = ways.net(hit.at_ms, again, ["reactors"])
                yield Recovered("lane", hit.at_ms, again, net, f"partition {partition}")


def _is_hit_again(journal: Journal, partition: int, after_ms: float, before_ms: float) -> bool:
    """The successor was hit, too, before it could commit anything: that one counts."""
    return any(
        hit.kind in TAKING and partition in hit.owned and after_ms < hit.at_ms < before_ms
        for hit in journal.hits
    )


def spread_of(found: Iterable[Recovered], what: str, *, net: bool) -> Spread:
    return spread(
        [
            round(one.net_ms if net else one.again_ms - one.fault_ms)
            for one in found
            if one.what == what
        ]
    )
