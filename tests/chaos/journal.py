"""What happened in a run, as it was done to it: the faults that hit, and what was acknowledged."""

from __future__ import annotations

import msgspec

from .schedule import FaultKind, Verb


class Hit(msgspec.Struct):
    """A fault that found its target. Times are ms of this machine's clock, which is Redis' too."""

    kind: FaultKind
    at_ms: float
    target: str = ""
    pid: int = 0
    #: When it was over; None while it lasts.
    until_ms: float | None = None
    #: Partitions whose engine the process was.
    owned: list[int] = []
    #: Agents that it had claimed, as (workflow, job).
    claimed: list[tuple[str, str]] = []


class Told(msgspec.Struct, frozen=True):
    """A command and how it was answered: `done`, or the status that was against it."""

    at_ms: float
    verb: Verb
    workflow: str
    answer: str


class Span(msgspec.Struct, frozen=True, order=True):
    """Some time in which something could not be done, ms."""

    begin_ms: float
    end_ms: float


class Journal(msgspec.Struct):
    hits: list[Hit] = []
    #: Faults that came when there was nothing to hit.
    missed: int = 0
    #: Number of each workflow that was acknowledged -> its id.
    started: dict[int, str] = {}
    told: list[Told] = []
    #: Owners of lanes, as they were seen: (ms, partition, token).
    owners: list[tuple[float, int, str]] = []
    #: Every time in which Redis was away.
    redis_away: list[Span] = []
    #: When the faults began, when there was a time without before.
    faults_ms: float = 0.0
    #: Every time in which this machine let us wait, which had other things to do.
    stalls: list[Span] = []
