"""How far live projections are behind the logs of the workflows under way. Only reads."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.log import EventLog
from ..projections.catalogue import DOCUMENTS, LISTINGS, PROJECTIONS, SNAPSHOTS, STATE, WRITTEN

PAGE = 500


class Lag(msgspec.Struct):
    """One live projection over the workflows under way."""

    name: str
    #: The schema number of this release.
    schema: int
    text: str
    #: Workflows under way that have it, and those of them that another release wrote last.
    workflows: int = 0
    other_schema: int = 0
    #: Events that the logs have together, and up to which it is written.
    events: int = 0
    position: int = 0
    #: Events that it is behind: all together, and the workflow that is furthest behind.
    lag_events: int = 0
    worst_events: int = 0
    worst_workflow: str = ""
    #: How long the oldest event that it lacks has been there, and all workflows' together, s.
    lag_s: float = 0.0
    sum_s: float = 0.0
    #: What a rebuild of it is about, when one is under way.
    rebuild: str = ""


class _Facts(msgspec.Struct, frozen=True):
    """What is known of one workflow."""

    workflow: str
    version: int
    shown: int
    schemas: str
    state_schema: str
    snapshot: int
    snapshot_schema: str


async def read_lags(log: EventLog, *, most: int | None = None) -> list[Lag]:
    """All projections, in the order of the catalogue.

    With `most` only as many workflows of each partition are looked at, chosen at random.
    """
    lags = {one.name: Lag(one.name, one.schema, one.text) for one in PROJECTIONS}
    for partition in range(log.keys.partitions):
        key = log.keys.flow(partition, "active")
        members: list[bytes] | set[bytes] = (
            await log.redis.smembers(key)
            if most is None
            else await log.redis.srandmember(key, most)
        )
        ids = sorted(member.decode() for member in members)
        for start in range(0, len(ids), PAGE):
            facts = await _read_facts(log, ids[start : start + PAGE])
            ages = await _ages(log, [one for one in facts if one.shown < one.version])
            for one in facts:
                _add(lags, one, ages.get(one.workflow, 0.0))
    for lag in lags.values():
        lag.rebuild = await _rebuild_of(log, lag.name)
    return list(lags.values())


def _add(lags: dict[str, Lag], one: _Facts, age_s: float) -> None:
    for name in (DOCUMENTS, LISTINGS):
        _count(lags[name], one, one.shown, age_s, is_other=one.schemas not in ("", WRITTEN))
    state = lags[STATE]
    _count(state, one, one.version, 0.0, is_other=one.state_schema != str(state.schema))
    if one.snapshot:  # it is not meant to keep up: nobody waits for it
        snapshots = lags[SNAPSHOTS]
        is_other = one.snapshot_schema != str(snapshots.schema)
        _count(snapshots, one, one.snapshot, 0.0, is_other=is_other)


def _count(lag: Lag, one: _Facts, position: int, age_s: float, *, is_other: bool) -> None:
    behind = max(0, one.version - position)
    lag.workflows += 1
    lag.other_schema += is_other
    lag.events += one.version
    lag.position += position
    lag.lag_events += behind
    if behind > lag.worst_events:
        lag.worst_events, lag.worst_workflow = behind, one.workflow
    lag.lag_s = max(lag.lag_s, age_s)
    lag.sum_s += age_s


async def _read_facts(log: EventLog, ids: list[str]) -> list[_Facts]:
    async def read() -> list[Any]:
        async with log.redis.pipeline(transaction=False) as pipe:
            for workflow in ids:
                meta = log.keys.workflow(workflow, "meta")
                pipe.hmget(meta, "v", "doc_v", "doc_p", "state_p")
                pipe.hmget(log.keys.workflow(workflow, "snapshot"), "v", "p")
            found: list[Any] = await pipe.execute()
            return found

    found = await log.connection.call(read)
    return [
        _Facts(
            workflow,
            int(meta[0]),
            int(meta[1] or 0),
            (meta[2] or b"").decode(),
            (meta[3] or b"").decode(),
            int(snapshot[0] or 0),
            (snapshot[1] or b"").decode(),
        )
        for workflow, meta, snapshot in zip(ids, found[::2], found[1::2], strict=True)
        if meta[0] is not None
    ]


async def _ages(log: EventLog, behind: list[_Facts]) -> dict[str, float]:
    """Seconds since the first event that the document of each lacks."""

    async def read() -> list[Any]:
        async with log.redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for one in behind:
                pipe.xrange(log.keys.events(one.workflow), min=f"({one.shown}-0", count=1)
            found: list[Any] = await pipe.execute()
            return found

    if not behind:
        return {}
    (seconds, micros), *entries = await log.connection.call(read)
    now = seconds * 1000 + micros / 1000
    return {
        one.workflow: max(0.0, now - int(found[0][1][b"ts"])) / 1000
        for one, found in zip(behind, entries, strict=True)
        if found
    }


async def _rebuild_of(log: EventLog, name: str) -> str:
    """What a rebuild that was begun says; empty when there is none to finish."""
    for one in (name, "all"):
        key = log.keys.shared(f"rebuild:{one}")
        phase: bytes | None = await log.redis.hget(key, "phase")
        if phase in (b"build", b"switch"):
            return f"{phase.decode()} (agentainer rebuild {'--all' if one == 'all' else one})"
    return ""
