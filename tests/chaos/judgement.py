"""Judge a run from its logs, its keys, its agents and what its processes said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from agentainer_flow.projections.invariants import Entry

from .fleet import now_ms
from .presence import ways_of
from .recovery import Recovered, recoveries, spread_of
from .report import Report
from .scene import Scene
from .schedule import Start
from .sightings import complaints, missing, sightings
from .throughput import throughput
from .verdict import judge_workflows

WHAT = ("task", "unhit", "agent", "lane")
#: Recoveries that are told one by one.
TOLD = 5
#: Share of the throughput in peace that is to be left under faults.
HELD = 0.5


class Past(msgspec.Struct, frozen=True):
    """What a run was. Times are ms of this machine's clock."""

    starts: list[Start]
    begin_ms: float
    end_ms: float
    #: Every workflow has ended, so long after the faults, and the dead have been noticed.
    rested: bool
    drained_s: float


async def judge(scene: Scene, past: Past) -> Report:
    """Everything about the run, and what was wrong with it. Stops its processes."""
    checked = await anyio.to_thread.run_sync(scene.check)
    verified = await anyio.to_thread.run_sync(scene.verify)
    logs = await anyio.to_thread.run_sync(scene.logs)
    stopped = list(await scene.stop())
    outcomes = judge_workflows(past.starts, logs, scene.journal)
    ways = ways_of(scene.fleet, scene.journal, now_ms())
    found = recoveries(logs, scene.partitions(logs), scene.journal, ways)
    seen = _seen(scene, logs)
    begun = scene.agents.begun()
    report = Report(
        seed=scene.seed,
        seconds=scene.wanted.seconds,
        lease=scene.wanted.lease,
        redis=str(scene.server),
        runtime="docker" if scene.wanted.docker else "local processes",
        faults=dict(Counter(hit.kind for hit in scene.journal.hits)),
        missed=scene.journal.missed,
        ended=outcomes.ended,
        counts=checked["counts"],
        begun=len(begun),
        begun_again=begun.total() - len(begun),
        recovery={
            what: (spread_of(found, what, net=False), spread_of(found, what, net=True))
            for what in WHAT
        },
        seen=dict(seen),
        slowest=[_say(one) for one in sorted(found, key=lambda one: -one.net_ms)[:TOLD]],
        drained_s=past.drained_s,
        stalled_s=sum(span.end_ms - span.begin_ms for span in scene.journal.stalls) / 1000,
        started_in_s=scene.fleet.started_in_s(),
    )
    if scene.wanted.throughput:
        report.throughput = throughput(logs, past.begin_ms, scene.journal.faults_ms, past.end_ms)
    report.problems = [
        *outcomes.problems,
        *_unrested(past),
        *_violations(checked),
        *_findings(verified),
        *(f"agent {' '.join(job)} began {n} times" for job, n in begun.items() if n > 1),
        *_too_slow(scene, report),
        *_too_little(report),
        *_never_met(scene, seen, 3 if report.is_busy else 1),
        *_of_processes(scene),
        *stopped,
    ]
    return report


def _seen(scene: Scene, logs: Mapping[str, Sequence[Entry]]) -> Counter[str]:
    proxies = [proxy.seen for proxy in scene.proxies.values()]
    texts = [life.text() for _, life in scene.fleet.lives()]
    return sightings(logs, scene.journal, proxies, texts)


def _unrested(past: Past) -> Iterator[str]:
    if not past.rested:
        yield (
            f"{past.drained_s:.0f} s after the faults not all workflows have ended, or sessions "
            "of dead processes are still there"
        )


def _violations(checked: Mapping[str, Any]) -> Iterator[str]:
    for one in checked["violations"]:
        place = f"{one['workflow']} at {one['version']}: " if one["workflow"] else ""
        yield f"rule {one['invariant']}: {place}{one['text']}"


def _findings(verified: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in verified:
        for found in one["findings"]:
            version = f" at {found['version']}" if found["version"] else ""
            yield f"verify: {one['workflow']}{version}: {found['part']}: {found['text']}"


def _too_slow(scene: Scene, report: Report) -> Iterator[str]:
    """Recovery has to come within a lease and a second, where the machine lets it."""
    if report.is_busy or scene.wanted.only_safety:
        return
    limit_s = report.lease + 1
    for what, (_, net) in report.recovery.items():
        if net.p99_ms > 1000 * limit_s:
            took = f"{net.p99_ms / 1000:.2f} s (p99)"
            yield f"recovery of a {what} took {took}, allowed are {limit_s:g} s"


def _too_little(report: Report) -> Iterator[str]:
    """Peace and faults had the same machine, so this is told of a busy one, too."""
    if report.throughput and report.throughput.ratio < HELD:
        yield f"{report.throughput.ratio:.0%} of the throughput is left, wanted are {HELD:.0%}"


def _never_met(scene: Scene, seen: Counter[str], slower: float) -> Iterator[str]:
    """What a run of this length should have met, on a machine that is so much slower."""
    wanted = scene.wanted
    if not (
        wanted.throughput or wanted.only_safety
    ):  # its workload has not all that there is to meet
        for name in missing(seen, wanted.seconds / slower, wanted.lease):
            yield f"never met: {name}"


def _of_processes(scene: Scene) -> Iterator[str]:
    for member, life in scene.fleet.lives():
        name = f"{member.name} ({life.log.name})"
        yield from complaints(name, life.text())
        if life.ready_ms is not None and life.ended_with is not None:
            yield f"{name} ended by itself with {life.ended_with}"


def _say(one: Recovered) -> str:
    took = f"{(one.again_ms - one.fault_ms) / 1000:.2f} s, could have {one.net_ms / 1000:.2f} s"
    return f"{one.what} {one.place}: {took}, at {one.again_ms:.0f}"
