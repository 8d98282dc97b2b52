"""Print what a run was and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from agentainer_flow.projections.invariants import Spread

from .throughput import Throughput


class Report(msgspec.Struct):
    """Everything about one run. It is well when there are no problems."""

    seed: int
    seconds: float
    lease: float
    redis: str
    runtime: str
    faults: dict[str, int]
    missed: int
    ended: dict[str, int]
    #: As `agentainer check --json` gives them.
    counts: dict[str, Any]
    #: How often agents began again that had begun: their number, and how many jobs began.
    begun: int
    begun_again: int
    #: By what was recovered: raw, and without the times in which nobody could.
    recovery: dict[str, tuple[Spread, Spread]]
    seen: dict[str, int]
    problems: list[str] = []
    #: The recoveries that took longest, in words.
    slowest: list[str] = []
    drained_s: float = 0.0
    #: How long the machine let us wait, and how long half of the processes took to start.
    stalled_s: float = 0.0
    started_in_s: float = 0.0

    throughput: Throughput | None = None

    @property
    def is_busy(self) -> bool:
        """Times tell more about what else the machine does than about us."""
        return self.stalled_s > 0.02 * self.seconds or self.started_in_s > 2.5


def lines(report: Report) -> Iterable[str]:
    counts = report.counts
    yield f"chaos: seed {report.seed}, {report.seconds:.0f} s, lease {report.lease:g} s"
    yield f"       {report.redis}, agents on {report.runtime}"
    total = sum(report.faults.values())
    again = counts["lost"] / max(1, total)
    yield f"faults     {total}: {_list(report.faults)}; {report.missed} missed"
    yield f"           each took away {again:.2f} deliveries of tasks"
    yield f"workflows  {sum(report.ended.values())}: {_list(report.ended)}"
    yield (
        f"tasks      {counts['ran']} bodies ran, {counts['started']} started, "
        f"{counts['completed']} completed, {counts['failed']} failed, "
        f"{counts['cancelled']} cancelled, {counts['lost']} lost, {counts['retried']} tried again, "
        f"{counts['duplicates']} settled twice"
    )
    yield (
        f"agents     {counts['jobs']} asked for, {counts['launched']} launched, "
        f"{counts['adopted']} adopted, {report.begun} began, {report.begun_again} began again"
    )
    for what, (raw, net) in report.recovery.items():
        yield f"recovery   {what}: {_spread(raw)}; could have: {_spread(net)}"
    for text in report.slowest:
        yield f"           {text}"
    if rate := report.throughput:
        peace, faults = f"{rate.in_peace:.0f} tasks/s in peace", f"{rate.under_faults:.0f}"
        yield f"throughput {peace}, {faults} under faults: {rate.ratio:.0%}"
    yield f"drained    in {report.drained_s:.1f} s after the last fault"
    yield (
        f"machine    had other things to do for {report.stalled_s:.1f} s; a process took "
        f"{report.started_in_s:.1f} s to start"
    )
    yield f"sometimes  {_list(report.seen)}"
    for text in report.problems:
        yield f"PROBLEM    {text}"
    if report.is_busy:
        yield "The machine was too busy for judging recovery by its times."
    yield "well" if not report.problems else f"{len(report.problems)} problems"


def _list(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in Counter(numbers).most_common())


def _spread(times: Spread) -> str:
    if not times.count:
        return "none"
    p50, p99, most = (f"{ms / 1000:.2f}" for ms in (times.p50_ms, times.p99_ms, times.max_ms))
    return f"{times.count} times, p50 {p50} s, p99 {p99} s, longest {most} s"
