"""The history of one workflow: its events and all that is needed to look at it without a server.

What is damaged is noted and passed over, so that the rest still shows. Where a mistake must not go
unnoticed, as in the engine, `workflow.fold` is the one to use: it stops.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..core.definition import Definition, StepSpec
from ..core.entries import decode_entry
from ..core.errors import WorkflowNotFound
from ..core.events import Recorded, Unknown
from ..core.log import EventLog
from ..core.tail import Entry, entry_of
from .damage import Damage, say_beginning, say_gap, say_unknown
from .damage import Problem as Problem
from .fold import Gap, apply
from .workflow import WorkflowView

_decode_definition = msgspec.json.Decoder(Definition).decode


class History(msgspec.Struct):
    """A log as it was read, and what lies beside it."""

    workflow: str
    events: list[Recorded]
    #: None where it is missing, or where none of this release can be read of it.
    definition: Definition | None = None
    #: Payloads by digest, where they were asked for.
    blobs: dict[str, bytes] = {}
    problems: list[Problem] = []
    #: The entries that the events were read from, as they are in the log.
    entries: list[Entry] = []
    #: The definition as it is stored.
    definition_json: bytes = b""

    @property
    def version(self) -> int:
        """The version of the last event."""
        return self.events[-1].version if self.events else 0

    def fold(self) -> WorkflowView:
        """The view at the end; what could not be applied is added to the problems."""
        view, problems = tolerant_fold(self.workflow, self.events)
        found = dict.fromkeys([*self.problems, *problems])
        self.problems = sorted(found, key=lambda one: one.version or 0)
        return view

    def shown_definition(self, view: WorkflowView) -> Definition:
        """The definition; where it is missing, one of the steps that the events tell of."""
        return self.definition or stand_in(view)


class Transcript:
    """Entries of a log, taken in one after the other."""

    def __init__(self, workflow: str, *, keep_entries: bool = True) -> None:
        self._workflow = workflow
        self._keeps = keep_entries
        self._damage = Damage()
        self.events: list[Recorded] = []
        self.entries: list[Entry] = []

    def add_raw(self, raws: Iterable[Any]) -> None:
        """Take in entries as Redis answers them."""
        for raw in raws:
            self.events.append(self._damage.read(raw))
            if self._keeps:
                self.entries.append(entry_of(raw))

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            recorded = decode_entry(entry)
            self._damage.look(entry, recorded)
            self.events.append(recorded)
            self.entries.append(entry)

    def history(self, definition_json: bytes | None, blobs: dict[str, bytes]) -> History:
        definition, reason = read_definition(definition_json)
        problems = self._damage.problems + ([Problem(None, reason)] if reason else [])
        stored = definition_json or b""
        return History(
            self._workflow, self.events, definition, blobs, problems, self.entries, stored
        )


def history_of(
    workflow: str, entries: list[Entry], definition_json: bytes | None, blobs: dict[str, bytes]
) -> History:
    """The history that these entries tell."""
    transcript = Transcript(workflow)
    transcript.add(entries)
    return transcript.history(definition_json, blobs)


def read_definition(data: bytes | None) -> tuple[Definition | None, str]:
    """The stored definition, or why there is none."""
    if not data:
        return None, "its definition is missing: steps are known as far as events tell"
    try:
        return _decode_definition(data), ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, f"its definition cannot be read: {error}"


def stand_in(view: WorkflowView) -> Definition:
    """A definition of the steps that a view knows, none of which depends on another."""
    return Definition(view.name, tuple(StepSpec(name) for name in view.steps))


async def definition_of(log: EventLog, view: WorkflowView) -> Definition:
    """The definition of a workflow, or what its events tell of it."""
    try:
        return await log.get_definition(view.definition_digest)
    except (WorkflowNotFound, msgspec.DecodeError):
        return stand_in(view)


def tolerant_fold(workflow: str, events: Iterable[Recorded]) -> tuple[WorkflowView, list[Problem]]:
    """Fold a log that may be damaged: a gap, and an event that does not apply, are passed over."""
    view = WorkflowView(workflow)
    problems: list[Problem] = []
    for recorded in events:
        if view.version == 0:
            problems += say_beginning(recorded)
        problems += advance(view, recorded)
    return view, problems


def advance(view: WorkflowView, recorded: Recorded) -> list[Problem]:
    """Advance a view by an event, come what may; returns what is wrong with that."""
    if recorded.version == view.version + 1 and type(recorded.event) is not Unknown and recorded.ts:
        try:
            apply(view, recorded)
        except Exception as error:  # whatever is wrong with it, the others still tell something
            return [_pass_over(view, recorded, error)]
        return []
    return _advance_oddly(view, recorded)


def _advance_oddly(view: WorkflowView, recorded: Recorded) -> list[Problem]:
    problems: list[Problem] = []
    if recorded.version != view.version + 1:
        problems += say_gap(view.version, recorded.version)
        if recorded.version <= view.version:
            return problems
        view.version, view.digest = recorded.version - 1, ""
    before_ms = view.updated_ms
    problems += say_unknown(recorded)
    try:
        apply(view, recorded)
    except Exception as error:  # as in `advance`
        problems.append(_pass_over(view, recorded, error))
    view.updated_ms = recorded.ts or before_ms
    return problems


def _pass_over(view: WorkflowView, recorded: Recorded, error: Exception) -> Problem:
    view.version, view.digest, view.updated_ms = recorded.version, recorded.digest, recorded.ts
    return Problem(recorded.version, _why_not(recorded, error))


def first_stop(workflow: str, events: Iterable[Recorded]) -> Problem | None:
    """Where a fold that passes nothing over stops, and why."""
    view = WorkflowView(workflow)
    for recorded in events:
        try:
            apply(view, recorded)
        except Gap:
            return next(say_gap(view.version, recorded.version))
        except Exception as error:  # as in `advance`
            return Problem(recorded.version, _why_not(recorded, error))
    return None


def _why_not(recorded: Recorded, error: Exception) -> str:
    what = f"{type(error).__name__}: {error}"
    return f"{recorded.type} does not apply to what the events before it tell ({what})"
