"""What a log says is under way, against what Redis keeps of it beside the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from agentainer_flow.core.memory.streams import Stream
from agentainer_flow.core.memory.values import Args

#: Step and index.
Place = tuple[str, int]

#: The status of a workflow after some of its events.
STATUSES = {
    "workflow.created": "created",
    "workflow.started": "running",
    "workflow.paused": "paused",
    "workflow.resumed": "running",
    "workflow.cancel_requested": "cancelling",
    "workflow.timed_out": "failing",
    "workflow.completed": "completed",
    "workflow.failed": "failed",
    "workflow.cancelled": "cancelled",
}


class Facts(msgspec.Struct):
    """What matters here of the data of events."""

    step: str = ""
    index: int | None = None
    attempt: int = 0
    job: str = ""
    worker: str = ""
    queued: int = 0
    first: int = 0
    count: int = 0


class Waiting(msgspec.Struct):
    """A task that is to be claimed, now or after a while."""

    attempt: int
    #: How often it was lost with a worker that fell silent.
    losses: int = 0


class Running(msgspec.Struct):
    waiting: Waiting
    worker: str
    #: Of its `task.started`.
    version: int


_decode = msgspec.json.Decoder(Facts).decode


class Account:
    """A log, folded as far as it has been read."""

    def __init__(self) -> None:
        self.status = ""
        self.version = 0
        self.digest = ""
        self.last_ms = 0
        self.waiting: dict[Place, Waiting] = {}
        self.running: dict[Place, Running] = {}
        self.completed: set[Place] = set()
        #: Agents that have not settled, and whether they were asked to stop.
        self.jobs: dict[str, bool] = {}

    def is_of(self, log: Stream) -> bool:
        """Whether the log still has the entry that this ends with."""
        last = log.entries.get((self.version, 0))
        return last is not None and _fields(last)[b"dg"].decode() == self.digest

    def read_on(self, log: Stream) -> None:
        for entry in log.after((self.version, 0), None):
            fields = _fields(log.entries[entry])
            self.version, self.digest = entry[0], fields[b"dg"].decode()
            self.last_ms = int(fields[b"ts"])
            self._add(fields[b"type"].decode(), _decode(fields[b"data"]), fields[b"by"])

    def _add(self, kind: str, facts: Facts, by: bytes) -> None:
        self.status = STATUSES.get(kind, self.status)
        area, _, word = kind.partition(".")
        if area == "task":
            self._add_task(word, facts, by)
        elif area == "job":
            self._add_job(word, facts.job)
        elif kind == "step.scheduled":
            self._queue(facts.step, 0, facts.queued)
        elif kind == "tasks.queued":
            self._queue(facts.step, facts.first, facts.count)
        elif kind in ("step.failed", "step.cancelled"):
            self.waiting = {at: one for at, one in self.waiting.items() if at[0] != facts.step}
            if kind == "step.failed" and self.status in ("running", "paused"):
                self.status = "failing"

    def _queue(self, step: str, first: int, count: int) -> None:
        self.waiting |= {(step, index): Waiting(1) for index in range(first, first + count)}

    def _add_task(self, word: str, facts: Facts, by: bytes) -> None:
        place = (facts.step, facts.index or 0)
        waiting, running = self.waiting.pop(place, None), self.running.pop(place, None)
        match word:
            case "started":
                self.running[place] = Running(
                    waiting or Waiting(facts.attempt), facts.worker, self.version
                )
            case "lost":
                losses = running.waiting.losses if running else 0
                self.waiting[place] = Waiting(facts.attempt, losses + (by == b"janitor"))
            case "retried":
                self.waiting[place] = Waiting(facts.attempt)
            case "completed":
                self.completed.add(place)
            case _:
                pass

    def _add_job(self, word: str, job: str) -> None:
        if word in ("succeeded", "failed", "cancelled"):
            self.jobs.pop(job, None)
        else:
            self.jobs[job] = word == "stop_requested" or self.jobs.get(job, False)


def _fields(entry: Args) -> dict[bytes, bytes]:
    return dict(zip(entry[::2], entry[1::2], strict=True))


#: Of the logs there are; one that Redis has read again after a loss is another one.
_accounts: WeakKeyDictionary[Stream, Account] = WeakKeyDictionary()


def account_of(log: Stream) -> Account:
    """Fold what has come since the last time, or all of it."""
    account = _accounts.get(log)
    if account is None or not account.is_of(log):
        account = _accounts[log] = Account()
    account.read_on(log)
    return account


def judge_account(workflow: str, parts: Mapping[str, Any], shown_ms: float) -> Iterator[str]:
    """What Redis keeps of a workflow that its log does not say.

    `parts`: its keys. `shown_ms`: what is older than that has to be in its document.
    """
    account, meta = account_of(parts["events"]), parts["meta"]
    if (end := (int(meta[b"v"]), meta[b"dg"].decode())) != (account.version, account.digest):
        yield f"{workflow}: its log is said to end at {end[0]}, it ends at {account.version}"
    if (status := meta[b"status"].decode()) != account.status:
        yield f"{workflow} is said to be {status}, by its log it is {account.status}"
    if account.last_ms < shown_ms and int(meta.get(b"doc_v", 0)) < account.version:
        yield f"{workflow}: its document does not have {account.version}, which is an old event"
    if account.status not in ("completed", "failed", "cancelled"):
        yield from _tasks(workflow, account, parts)
        yield from _jobs(workflow, account, parts.get("jobs", {}))


def _tasks(workflow: str, account: Account, parts: Mapping[str, Any]) -> Iterator[str]:
    waiting: dict[Place, Waiting] = {}
    running: dict[Place, Running] = {}
    for part, value in parts.items():
        kind, _, step = part.partition(":")
        if kind == "leased":
            for lease in value.values():
                token, version, entry = lease.split(b" ", 2)
                index, task = _entry(entry)
                session = token.decode().rpartition("/")[0]
                running[step, index] = Running(task, session, int(version))
        elif kind == "ready" and step:
            waiting |= {(step, index): task for index, task in map(_entry, value)}
    for timer, value in parts.get("timers", {}).items():
        if timer.startswith(b"retry|"):
            index, task = _entry(value.partition(b" ")[2])
            waiting[timer.decode().split("|")[1], index] = task
    is_going_on = account.status in ("running", "paused")
    yield from _differ(workflow, "waits", waiting, account.waiting if is_going_on else waiting)
    yield from _differ(
        workflow,
        "runs",
        {place: (one.worker, one.version) for place, one in running.items()},
        {place: (one.worker, one.version) for place, one in account.running.items()},
    )
    for step, index in account.completed:
        if f"write:{step}:{index}".encode() in parts.get("effects", {}):
            yield f"{workflow}: {step}[{index}] is completed, the number of its writes is kept"


def _entry(entry: bytes) -> tuple[int, Waiting]:
    index, attempt, losses = entry[1:].split(b",", 3)[:3]
    return int(index), Waiting(int(attempt), int(losses))


def _differ(
    workflow: str, how: str, kept: Mapping[Place, Any], said: Mapping[Place, Any]
) -> Iterator[str]:
    for step, index in sorted(kept.keys() | said.keys()):
        one, other = kept.get((step, index)), said.get((step, index))
        if one != other and not _is_fewer(one, other):
            yield f"{workflow}: {step}[{index}] {how} as {one}, its log says {other}"


def _is_fewer(kept: Any, said: Any) -> bool:
    """A worker that gave up its claims by itself counts as no loss, and is swept all the same."""
    match kept, said:
        case Waiting(attempt=one, losses=fewer), Waiting(attempt=other, losses=most):
            return one == other and fewer <= most
        case _:
            return False


def _jobs(workflow: str, account: Account, jobs: Mapping[bytes, bytes]) -> Iterator[str]:
    kept = {job.decode(): msgspec.json.decode(record)["state"] for job, record in jobs.items()}
    for job in sorted(kept.keys() ^ account.jobs.keys()):
        where = "kept and not in its log" if job in kept else "under way and not kept"
        yield f"{workflow}: the agent {job} is {where}"
    for job in sorted(kept.keys() & account.jobs.keys()):
        if (kept[job] == "stopping") != account.jobs[job]:
            asked = "was" if account.jobs[job] else "was not"
            yield f"{workflow}: the agent {job} is {kept[job]}, it {asked} asked to stop"
