"""Read the log of a run that goes on, event by event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from ...core import events as e
from ...projections.histories import History, Transcript, advance, read_definition
from ...projections.workflow import WorkflowView


class Store(Protocol):
    """Where logs are."""

    #: Things happen there whether or not somebody looks.
    moves: bool

    def entries(self, workflow: str, after: int) -> list[Any]:
        """Entries above a version, as Redis answers them."""
        ...

    def payloads(self, workflow: str) -> dict[str, bytes]: ...

    def definition(self, digest: str) -> bytes | None: ...


class Reader:
    """How far a run has been looked at: its history up to there, and the view."""

    def __init__(self, store: Store, workflow: str) -> None:
        self._store = store
        self._transcript = Transcript(workflow)
        self._history = History(workflow, self._transcript.events)
        self._view = WorkflowView(workflow)
        self._is_going_on = False

    def go_on(self) -> Iterator[e.Recorded]:
        """Each new event; until the next one is asked for, it is the last that is known."""
        self._is_going_on = True
        try:
            for raw in self._store.entries(self._history.workflow, self._view.version):
                yield self._take(raw)
        finally:
            self._is_going_on = False

    def _take(self, raw: Any) -> e.Recorded:
        history = self._history
        self._transcript.add_raw([raw])
        recorded = history.events[-1]
        advance(self._view, recorded)
        if isinstance(recorded.event, e.WorkflowCreated):
            self._begin(recorded.event)
        if b'"digest":' in b"".join(raw[1]):  # of something beside the log
            history.blobs = self._store.payloads(history.workflow)
        return recorded

    def _begin(self, event: e.WorkflowCreated) -> None:
        history = self._history
        history.definition_json = self._store.definition(event.definition) or b""
        history.definition, _ = read_definition(history.definition_json)
        history.entries = self._transcript.entries

    def catch_up(self) -> None:
        for _ in self.go_on():
            pass

    def _look(self) -> None:
        if self._store.moves and not self._is_going_on:
            self.catch_up()

    @property
    def history(self) -> History:
        self._look()
        return self._history

    @property
    def view(self) -> WorkflowView:
        self._look()
        return self._view
