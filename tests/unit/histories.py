"""Histories made by hand, as the scripts write them, for tests that damage them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Bind, Definition, Fan, Retry, StepSpec
from agentainer_flow.core.tail import Entry
from agentainer_flow.projections.fold import apply
from agentainer_flow.projections.histories import History, history_of
from agentainer_flow.projections.workflow import WorkflowView
from agentainer_flow.reactors.binding import Cache, result_of
from agentainer_flow.reactors.scheduler import decide

RAW = msgspec.Raw

#: A fan-out, of which a failed task is tried again once, and a step that waits for it.
DEFINITION = Definition(
    "made",
    (
        StepSpec(
            "each",
            binds={"item": Bind(item=True)},
            parallel=Fan(Bind(input="items")),
            retry=Retry(2),
        ),
        StepSpec("last", ("each",), {"each_results": Bind(step="each")}),
    ),
)
ERROR = e.Failure("ValueError", "no")


class Log:
    """A log that workers and an engine write, entry by entry."""

    def __init__(self, definition: Definition = DEFINITION, items: int = 3) -> None:
        self.definition = definition
        self.view = WorkflowView("w")
        self.entries: list[Entry] = []
        self._cache = Cache()
        given = RAW(b'{"items":%d}' % items)
        self.add(e.WorkflowCreated("made", definition.digest, input=given), "client")
        self.add(e.WorkflowStarted(), "client")

    @property
    def version(self) -> int:
        return len(self.entries)

    def add(self, event: e.Event, by: str, cause: int | None = None) -> int:
        version, ts = self.version + 1, 1_700_000_000_000 + self.version
        kind, data = event.type.encode(), e.encode_event(event).encode()
        last = self.entries[-1][1][b"dg"] if self.entries else b""
        digest = hashlib.sha1(last + kind + data, usedforsecurity=False).hexdigest()[:16]
        fields = {b"type": kind, b"data": data, b"ts": b"%d" % ts, b"by": by.encode()}
        fields[b"dg"] = digest.encode()
        if cause:
            fields[b"cause"] = b"%d" % cause
        self.entries.append((b"%d-0" % version, fields))
        apply(self.view, e.Recorded(version, ts, event, by, cause, digest))
        return version

    def decide(self, seen: WorkflowView | None = None) -> None:
        """Have the engine commit what is due, on what it has seen."""
        view = seen or self.view
        decision = decide(view, self.definition, self._cache, set(self.definition.by_id))
        if decision.finish:
            result = RAW(result_of(self.definition, view, {}))
            decision.complete(e.WorkflowCompleted(result), view.version)
        first = self.version + 1
        for event, cause in decision.events:
            self.add(event, "engine", first - cause if cause is not None and cause <= 0 else cause)

    def start(self, index: int = 0, step: str = "each", attempt: int = 1) -> int:
        return self.add(e.TaskStarted(step, index, attempt, "worker"), "worker")

    def complete(self, index: int = 0, step: str = "each", attempt: int = 1) -> None:
        started = self.start(index, step, attempt)
        self.add(e.TaskCompleted(step, index, attempt, RAW(b"%d" % index)), "worker", started)

    def fail(self, index: int = 0, attempt: int = 1) -> None:
        started = self.start(index, attempt=attempt)
        self.add(e.TaskFailed("each", index, attempt, ERROR), "worker", started)

    def history(self, blobs: dict[str, bytes] | None = None) -> History:
        return history_of("w", self.entries, self.definition.json, blobs or {})


def completed() -> Log:
    """A workflow that ended well, after a task of it was tried again."""
    log = Log()
    log.decide()
    log.fail(1)
    log.decide()
    for index, attempt in ((0, 1), (1, 2), (2, 1)):
        log.complete(index, attempt=attempt)
    log.decide()
    log.complete(step="last")
    log.decide()
    log.decide()
    return log


def chained(entries: Iterable[Entry]) -> list[Entry]:
    """The entries with a chain of digests that holds, numbered anew."""
    made: list[Entry] = []
    last = b""
    for number, (_, fields) in enumerate(entries, 1):
        whole = last + fields[b"type"] + fields[b"data"]
        last = hashlib.sha1(whole, usedforsecurity=False).hexdigest()[:16].encode()
        made.append((b"%d-0" % number, {**fields, b"dg": last}))
    return made
