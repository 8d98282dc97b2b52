"""`agentainer doctor`: who runs, what lags, what waits and why, and what Redis promises."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import msgspec

from ..core.log import EventLog
from ..core.sizes import say_size
from ..sdk.diagnosis import Finding, diagnose
from ..sdk.facts import COUNTED, Facts, Member
from ..sdk.overview import Looker
from ..sdk.redis_health import RedisFacts, look_at_redis
from .output import Cell, console, duration, print_json, print_table
from .session import with_log

COLUMNS = ("role", "process", "slots", "memory", "holds", "lease left", "serves")
#: Seconds between two looks at an engine that is behind: does it get on?
PAUSE = 1.0


class Report(msgspec.Struct, frozen=True):
    healthy: bool
    findings: list[Finding]
    facts: Facts
    redis: RedisFacts


def examine(*, as_json: bool) -> bool:
    """Print the report; whether all is well."""
    report = with_log(look)
    if as_json:
        print_json(report)
    else:
        _print(report)
    return report.healthy


async def look(log: EventLog) -> Report:
    redis = await look_at_redis(log)
    looker = Looker(log)
    facts = await looker.look()
    later = [lane.unread for lane in facts.lanes]
    if any(unread.entries for unread in later):
        await anyio.sleep(PAUSE)
        later = await looker.unread()
    findings = [
        *(Finding("problem", text) for text in redis.problems),
        *diagnose(facts, later),
    ]
    healthy = all(finding.kind != "problem" for finding in findings)
    return Report(healthy, findings, facts, redis)


def _print(report: Report) -> None:
    out = console()
    if report.facts.members:
        lanes = len(report.facts.lanes)
        rows = [_row(one, lanes) for one in report.facts.members]
        print_table(COLUMNS, rows, whole=["role", "process"])
    else:
        out.print("no role runs")
    out.print()
    for name, value in [*_numbers(report.facts), *_redis(report.redis)]:
        out.print(f"{name:<9} {value}", soft_wrap=True)
    out.print()
    _print_findings(report.findings)


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        style = "red" if finding.kind == "problem" else ""
        console().print(f"{finding.kind}: {finding.text}", style=style, soft_wrap=True)
    if not findings:
        console().print("All is well.", style="green")


def _row(one: Member, lanes: int) -> list[Cell]:
    return [
        one.role + _owned(one, lanes),
        f"{one.host}:{one.pid}",
        str(one.slots or ""),
        say_size(one.memory_bytes) if one.memory_bytes else "",
        str(one.claimed) if one.slots else "",
        duration(one.lease_left_s) if one.lives else "over",
        ", ".join(one.definitions),
    ]


def _owned(one: Member, lanes: int) -> str:
    if lanes > 1 and one.role == "scheduler":
        return f" (owns {len(one.owns_lanes)} of {lanes} lanes)"
    return " (owns the lane)" if one.owns_lanes else ""


def _numbers(facts: Facts) -> list[tuple[str, str]]:
    unread = [lane.unread for lane in facts.lanes]
    entries = sum(one.entries for one in unread)
    more = "+" if any(one.entries == COUNTED for one in unread) else ""
    behind = max(one.oldest_s for one in unread)
    ready = sum(step.ready for step in facts.waiting)
    oldest = max((step.oldest_s for step in facts.waiting), default=0.0)
    return [
        ("workflows", f"{facts.active} under way, {len(facts.paused)} of them paused"),
        ("feed", f"{entries}{more} entries unread{_since(behind)}"),
        ("tasks", f"{ready} ready{_since(oldest)}"),
        ("agents", f"{facts.jobs_waiting} waiting for a launcher"),
        ("timers", f"{facts.timers_due} due{_since(facts.timer_late_s)}"),
    ]


def _since(seconds: float) -> str:
    return f", the oldest for {duration(seconds)}" if seconds else ""


def _redis(redis: RedisFacts) -> list[tuple[str, str]]:
    return [
        ("redis", f"{redis.program} {redis.version} at {redis.url}, {redis.latency_ms} ms away"),
        ("crash", f"of Redis loses {redis.crash_loses}"),
        ("memory", f"maxmemory-policy {redis.maxmemory_policy}"),
    ]
