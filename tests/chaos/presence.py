"""When a role was away altogether: every one of its processes dead, starting, frozen or cut off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .fleet import Fleet
from .journal import Journal, Span
from .recovery import Ways


def ways_of(fleet: Fleet, journal: Journal, end_ms: float) -> Ways:
    away: dict[str, Sequence[Span]] = {
        "redis": sorted(journal.redis_away),
        "docker": sorted(
            Span(hit.at_ms, hit.until_ms or end_ms) for hit in journal.hits if hit.kind == "dockerd"
        ),
        "machine": journal.stalls,
    }
    for role in ("reactors", "worker", "launcher"):
        names = [one.name for one in fleet.members.values() if one.kind in (role, "up")]
        away[role] = common([_away(fleet, journal, name, end_ms) for name in names])
    return Ways(away)


def _away(fleet: Fleet, journal: Journal, name: str, end_ms: float) -> list[Span]:
    """When one process could do nothing."""
    spans: list[Span] = []
    ended = {life.pid: life.ended_ms or end_ms for life in fleet[name].lives}
    gone_ms = 0.0
    for life in fleet[name].lives:
        ready_ms = life.ready_ms or life.ended_ms or end_ms
        spans.append(Span(gone_ms, ready_ms))
        gone_ms = life.ended_ms or end_ms
    spans.append(Span(gone_ms, end_ms))
    for hit in journal.hits:
        if hit.target == name and hit.kind in ("freeze", "partition"):
            until_ms = hit.until_ms or end_ms
            if hit.kind == "freeze":  # whoever follows is not frozen
                until_ms = min(until_ms, ended[hit.pid])
            spans.append(Span(hit.at_ms, until_ms))
    return sorted(spans)


def common(several: Sequence[Iterable[Span]]) -> list[Span]:
    """The times that are in all of them; each of them is in order."""
    found: list[Span] | None = None
    for spans in several:
        merged = _merge(spans)
        found = merged if found is None else list(_overlaps(found, merged))
    return found or []


def _merge(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        if merged and span.begin_ms <= merged[-1].end_ms:
            last = merged.pop()
            span = Span(last.begin_ms, max(last.end_ms, span.end_ms))
        merged.append(span)
    return merged


def _overlaps(one: list[Span], other: list[Span]) -> Iterable[Span]:
    for a in one:
        for b in other:
            begin, end = max(a.begin_ms, b.begin_ms), min(a.end_ms, b.end_ms)
            if begin < end:
                yield Span(begin, end)
