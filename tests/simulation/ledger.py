"""What Redis keeps has to add up at any moment: each script leaves it so.

The log says what happened; this looks at the books that are kept beside it, while things happen. A
counter that is wrong for a while, or a timer in one of its two places, does harm only now and then.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from agentainer_flow.core.memory import Server

from .accounts import judge_account

#: Parts of a workflow's keys that only one under way has.
PASSING = ("ready", "leased", "jobs", "limits", "effects", "timers", "held_jobs")
ENDS = ("completed", "failed", "cancelled")

Parts = Mapping[str, Any]


class Books:
    """The keys of a server at one moment: those of workflows by their id, the others by kind."""

    def __init__(self, server: Server) -> None:
        self.workflows: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self.sessions: dict[str, dict[str, int]] = {}
        self.listed: set[str] = set()
        self.active: set[str] = set()
        self.orphans: set[str] = set()
        #: Limits of queues, and shared limits that somebody waits for.
        self.limits: dict[str, int] = {}
        self.blocked: set[str] = set()
        #: Workflows that have a place in a ring.
        self.rings: set[str] = set()
        #: `<workflow>|<timer>` of all lanes, and `<workflow> <job>` as often as it is offered.
        self.timers: set[str] = set()
        self.offers: Counter[str] = Counter()
        self.totals: dict[str, dict[str, int]] = {}
        for key, value in server.database.values.items():
            kind, _, rest = key.decode().partition(":")
            if kind == "workflow":
                workflow, _, part = rest.partition(":")
                self.workflows[workflow][part] = value
            elif kind == "flow":
                self._add(rest, value)

    def _add(self, name: str, value: Any) -> None:
        partition, _, part = name.partition(":")
        if partition in ("running", "waiting"):
            self.totals[partition] = _numbers(value)
        elif partition == "queues":
            self.limits = _numbers(value)
        elif partition == "blocked" and part:
            self.blocked.add(part)
        elif part == "active":
            self.active |= _texts(value)
        elif part == "orphans":
            self.orphans |= _texts(value.scores)
        elif part == "sessions":
            self.listed |= _texts(value.scores)
        elif part.startswith("session:"):
            self.sessions.setdefault(part.removeprefix("session:"), {}).update(_numbers(value))
        elif ":ring:" in part:
            self.rings |= _texts(value.scores)
        elif part.endswith(":timers"):
            self.timers |= _texts(value.scores)
        elif part.endswith(":jobs") or ":jobs:" in part:
            self.offers.update(one.decode() for one in value)


def judge_books(server: Server, lag_ms: float = math.inf) -> Iterator[str]:
    """What does not add up, in whole sentences. `lag_ms`: how old documents may be."""
    books = Books(server)
    held: defaultdict[str, Counter[str]] = defaultdict(Counter)
    timers: set[str] = set()
    running = waiting = 0
    for workflow, parts in books.workflows.items():
        if "meta" not in parts:
            continue
        yield from judge_account(workflow, parts, server.database.now - lag_ms)
        status = _text(parts["meta"][b"status"])
        if (status in ENDS) == (workflow in books.active):
            yield f"{workflow} is {status}, and that is not how it is listed"
        if status in ENDS:
            yield from _left(workflow, parts)
            if workflow in books.rings:
                yield f"{workflow} has ended, it has a place in a ring"
            continue
        leases, ready = _tasks(parts)
        waiting += len(ready)
        running += len(leases)
        for step, _, session in leases:
            held[session][f"{workflow}|{step}"] += 1
        if int(parts["meta"].get(b"running", 0)) != len(leases):
            yield f"{workflow} counts {_text(parts['meta'].get(b'running'))}, {len(leases)} run"
        if status != "paused":
            timers |= {f"{workflow}|{name.decode()}" for name in parts.get("timers", ())}
        yield from _places(workflow, parts, leases, ready)
        for job, record in _jobs(parts):
            if token := record["token"]:
                held[token.rpartition("/")[0]][f"{workflow}|"] += 1
            yield from _offered(books, workflow, job, record, parts)
    for timer in sorted(books.timers ^ timers):
        there = "is due and not noted" if timer in books.timers else "is noted and never due"
        yield f"the timer {timer} {there}"
    for session in sorted(set(held) | set(books.sessions)):
        if dict(held[session]) != books.sessions.get(session, {}):
            yield f"{session} counts {books.sessions.get(session)}, it has {dict(held[session])}"
        if held[session] and session not in books.listed:
            yield f"{session} has something, and nobody would notice its end"
    for name, number in (("running", running), ("waiting", waiting)):
        counted = books.totals.get(name, {})
        total = counted.get("queue:*", 0) if name == "running" else sum(counted.values())
        if total != number:
            yield f"{total} tasks are counted as {name}, there are {number}"
    for limit in sorted(books.blocked if not books.rings else ()):
        kind, _, queue = limit.partition(":")
        running_there = books.totals.get("running", {}).get(limit, 0)
        if kind == "queue" and running_there < books.limits.get(f"{queue}:limit", 0):
            yield f"{running_there} tasks run within {limit}, others wait and have no turn"
    for entry in sorted(books.orphans):
        workflow, _, job = entry.partition(" ")
        jobs = books.workflows[workflow].get("jobs", {})
        if job.encode() not in jobs or msgspec.json.decode(jobs[job.encode()])["token"]:
            yield f"the job {entry} waits for a launcher of its host, and needs none"


def _left(workflow: str, parts: Parts) -> Iterator[str]:
    for part in parts:
        if part.partition(":")[0] in PASSING:
            yield f"{workflow} has ended, its {part} is there"


def _tasks(parts: Parts) -> tuple[list[tuple[str, int, str]], list[tuple[str, int]]]:
    """(step, index, session) of what is claimed, (step, index) of what is ready."""
    leases: list[tuple[str, int, str]] = []
    ready: list[tuple[str, int]] = []
    for part, value in parts.items():
        kind, _, step = part.partition(":")
        if kind == "leased":
            leases += [(step, int(index), _session(lease)) for index, lease in value.items()]
        elif kind == "ready" and step:
            ready += [(step, int(entry[1:].partition(b",")[0])) for entry in value]
    return leases, ready


def _places(
    workflow: str,
    parts: Parts,
    leases: list[tuple[str, int, str]],
    ready: list[tuple[str, int]],
) -> Iterator[str]:
    """A task is in one place: ready, claimed, or waiting for its retry."""
    places = Counter(ready)
    places.update((step, index) for step, index, _ in leases)
    for timer in parts.get("timers", ()):
        kind, *rest = timer.decode().split("|")
        if kind == "retry":
            places[rest[0], int(rest[1])] += 1
    for (step, index), number in places.items():
        if number > 1:
            yield f"{workflow}: {step}[{index}] is in {number} places"
    known = _texts(parts.get("ready", ()))
    for step in sorted({step for step, _ in ready} - known):
        yield f"{workflow}: {step} has tasks that are ready, and nobody looks for them"


def _jobs(parts: Parts) -> list[tuple[str, dict[str, Any]]]:
    return [
        (job.decode(), msgspec.json.decode(record)) for job, record in parts.get("jobs", {}).items()
    ]


def _offered(
    books: Books, workflow: str, job: str, record: Mapping[str, Any], parts: Parts
) -> Iterator[str]:
    """A job that no launcher has is offered once, or held back in a pause."""
    entry = f"{workflow} {job}"
    times = books.offers[entry] + sum(one.decode() == entry for one in parts.get("held_jobs", ()))
    if times != (0 if record["token"] else 1):
        yield f"the job {entry} is offered {times} times, its launcher is {record['token']!r}"


def _session(lease: bytes) -> str:
    token, _, _ = lease.decode().partition(" ")
    return token.rpartition("/")[0]


def _numbers(value: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(number) for name, number in value.items()}


def _texts(names: Any) -> set[str]:
    return {name.decode() for name in names}


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
