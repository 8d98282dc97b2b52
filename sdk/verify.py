"""Verify a workflow: its chain of digests, what is kept of it, and what the engine decided."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import anyio
import msgspec

from ..core.errors import WorkflowNotFound
from ..core.log import EventLog
from ..projections.comparing import (
    Difference,
    Live,
    compare_documents,
    compare_listings,
    compare_presence,
    compare_snapshot,
    compare_state,
)
from ..projections.histories import History, advance
from ..projections.workflow import WorkflowView
from ..reactors.binding import Cache
from ..reactors.decisions import ENGINE, Decisions, Divergence, needed_payloads
from .archives import read_tombstone
from .histories import read_history, read_payloads
from .live import read_live

Part = Literal["log", "projections", "decisions"]
ALL_PARTS: frozenset[Part] = frozenset({"log", "projections", "decisions"})
#: How often to look at what differs, and seconds between two looks: documents lag a moment.
LOOKS, PAUSE = 5, 0.5


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is not as it should be, in a sentence."""

    part: Part
    version: int | None
    text: str

    def __str__(self) -> str:
        place = f"event {self.version}: " if self.version and self.part != "projections" else ""
        return f"{self.part}: {place}{self.text}"


class Verified(msgspec.Struct, frozen=True):
    """What a workflow was verified to be."""

    workflow: str
    clean: bool
    events: int
    #: Events that the engine wrote, and that were decided again.
    decisions: int
    findings: list[Finding] = []


async def verify(log: EventLog, workflow: str, parts: frozenset[Part] = ALL_PARTS) -> Verified:
    """Verify a workflow in Redis. Raises WorkflowNotFound.

    What differs may have been on its way to being right, so that is looked at again, and counts
    when it is said in the same words each time.
    """
    found = await _look(log, workflow, parts)
    lasting = set(found.findings)
    for _ in range(LOOKS - 1):
        if not any(one.part == "projections" for one in lasting):
            break
        await anyio.sleep(PAUSE)
        found = await _look(log, workflow, parts)
        lasting &= set(found.findings)
    kept = [one for one in found.findings if one in lasting]
    return msgspec.structs.replace(found, clean=not kept, findings=kept)


async def _look(log: EventLog, workflow: str, parts: frozenset[Part]) -> Verified:
    is_here = await read_tombstone(log, workflow) is None  # nothing is live of an archived one
    live = await read_live(log, workflow) if "projections" in parts and is_here else None
    history = await read_history(log, workflow, entries=False)
    key = log.keys.workflow(workflow, "blobs")
    if is_here and history.definition and parts - {"log"} and await log.redis.exists(key):
        wanted = needed_payloads(history.definition, history.events)
        history.blobs = await read_payloads(log, workflow, wanted)
    return verify_history(history, parts, live)


async def verify_all(log: EventLog, parts: frozenset[Part] = ALL_PARTS) -> AsyncIterator[Verified]:
    """Verify every workflow, one at a time; those that vanish meanwhile are left out."""
    async for workflow in _all(log):
        try:
            yield await verify(log, workflow, parts)
        except WorkflowNotFound:
            continue


async def _all(log: EventLog) -> AsyncIterator[str]:
    head, tail = log.keys.events("*").split("*")
    seen: set[str] = set()
    async for key in log.redis.scan_iter(match=f"{head}*{tail}", count=1000):
        workflow = key.decode().removeprefix(head).removesuffix(tail)
        if workflow not in seen and ":" not in workflow:
            seen.add(workflow)
            yield workflow


def verify_history(
    history: History, parts: frozenset[Part] = ALL_PARTS, live: Live | None = None
) -> Verified:
    """Verify a history, and what is kept beside it where that is given. Pure."""
    walk = _Walk(history, parts, live)
    walk.walk()
    findings = [*walk.findings()]
    return Verified(history.workflow, not findings, len(history.events), walk.decided, findings)


class _Walk:
    """Go along a log once: fold, compare, decide."""

    def __init__(self, history: History, parts: frozenset[Part], live: Live | None) -> None:
        self._history = history
        self._parts = parts
        self._live = live
        self._view = WorkflowView(history.workflow)
        self._problems = dict.fromkeys(history.problems)
        self._differences: list[Difference] = []
        self._divergence: Divergence | str | None = None
        self._decisions = self._open_decisions()

    @property
    def decided(self) -> int:
        return self._decisions.checked if self._decisions else 0

    def _open_decisions(self) -> Decisions | None:
        history = self._history
        if "decisions" not in self._parts:
            return None
        if history.definition is None:
            self._divergence = "its definition is missing or cannot be read"
            return None
        cache = Cache(blobs=history.blobs)
        return Decisions(history.workflow, history.definition, history.events, cache)

    def walk(self) -> None:
        stops = self._stops()
        for recorded in self._history.events:
            if recorded.by == ENGINE and self._divergence is None and self._decisions:
                self._divergence = self._decisions.check(self._view, recorded)
            if problems := advance(self._view, recorded):
                self._problems |= dict.fromkeys(problems)
                self._stop_deciding(recorded.version)
            if recorded.version in stops:
                self._compare(recorded.version)

    def _stop_deciding(self, version: int) -> None:
        if self._decisions and self._divergence is None:
            self._divergence = f"not verified from event {version} on, which is damaged or unknown"

    def _stops(self) -> set[int]:
        """Versions at which something is kept."""
        if self._live is None:
            return set()
        return {self._live.version, self._live.shown_version, self._live.snapshot_version}

    def _compare(self, version: int) -> None:
        live, view = self._live, self._view
        if live is None:
            return
        if version == live.shown_version:
            definition = self._history.shown_definition(view)
            self._differences += compare_documents(view, definition, live)
        if version == live.snapshot_version:
            self._differences += compare_snapshot(view, live)
        if version == live.version:
            self._differences += compare_presence(view, live)
            self._differences += compare_state(view, self._history.blobs, live)
            self._differences += compare_listings(view, live)

    def findings(self) -> Iterator[Finding]:
        if "log" in self._parts:
            for problem in sorted(self._problems, key=lambda one: one.version or 0):
                yield Finding("log", problem.version, problem.reason)
        yield from self._say_differences()
        match self._divergence:
            case Divergence(version, expected, got):
                yield Finding("decisions", version, f"expected {expected}, got {got}")
            case str(text):
                yield Finding("decisions", None, text)
            case None:
                pass

    def _say_differences(self) -> Iterator[Finding]:
        live = self._live
        if live is None:
            return
        if live.version > self._history.version or not live.version:
            text = f"what scripts go by: version {live.version}, the log ends at "
            yield Finding("projections", None, text + str(self._history.version))
        for one in self._differences:
            yield Finding("projections", one.version, str(one))
