"""Make an exported history a workflow here: a record that is looked at and never moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from ..core.errors import ImportRefused
from ..core.events import EVENTS, Unknown
from ..core.ids import digest
from ..core.log import EventLog
from ..core.tail import Entry
from ..projections.bundle import encode_history
from ..projections.catalogue import WRITTEN
from ..projections.documents import document, encode
from ..projections.histories import History, Problem
from ..projections.state import whole
from ..projections.workflow import WorkflowView
from .creation import about_of

#: Entries, and bytes of values, that one call carries at most.
ENTRIES, BYTES = 1000, 1024 * 1024

Imported = Literal["imported", "there"]


async def import_history(log: EventLog, history: History) -> Imported:
    """Import a history, or find that it is here already.

    It may be called again after any failure. Raises ImportRefused.
    """
    view = history.fold()
    _check(history)
    facts = _Facts(history, view)
    for portion in facts.portions():
        word = await log.scripts.restore(history.workflow, **facts.head, **portion)
        if word == "there":
            return "there"
        if word == "conflict":
            raise ImportRefused(
                f"there is a workflow {history.workflow} here already, with other content "
                "(what was taken out as secret counts); delete it first, or import elsewhere"
            )
    last = facts.last(log.settings.log_ttl, log.settings.state_ttl)
    word = await log.scripts.restore(history.workflow, **facts.head, last=last)
    if word not in ("restored", "there"):
        raise ImportRefused(f"the import of {history.workflow} came to {word}: begin it again")
    return "imported" if word == "restored" else "there"


def _check(history: History) -> None:
    """Raises ImportRefused for what could not be told from a log that was written here."""
    problems = [one for one in history.problems if not _is_only_newer(history, one)]
    if problems:
        raise ImportRefused(
            f"its log is damaged, so it cannot be imported: {problems[0]}; look at the file itself "
            "(agentainer workflow replay FILE)"
        )


def _is_only_newer(history: History, problem: Problem) -> bool:
    """Whether it is about an event that another release wrote, and nothing worse."""
    if problem.version is None or problem.version > len(history.events):
        return False
    recorded = history.events[problem.version - 1]
    if not isinstance(recorded.event, Unknown):
        return False
    return recorded.type not in EVENTS or recorded.schema > EVENTS[recorded.type].schema


class _Facts:
    """What the script is told of one history."""

    def __init__(self, history: History, view: WorkflowView) -> None:
        self._history = history
        self._view = view
        self._state = _state_of(view, history.blobs)
        self._blobs = {name: _text(data, "payload") for name, data in history.blobs.items()}
        self.head: dict[str, Any] = {
            "content": digest(encode_history(history)),
            "version": view.version,
            "digest": view.digest,
        }

    def portions(self) -> Iterator[dict[str, Any]]:
        for some in _portions((_fields(entry) for entry in self._history.entries), _size):
            yield {"entries": some}
        for part, values in (("state", self._state), ("blobs", self._blobs)):
            for some in _portions(values.items(), _size):
                yield {part: dict(some)}

    def last(self, log_ttl: float, state_ttl: float) -> dict[str, Any]:
        history, view = self._history, self._view
        shown = document(view, history.shown_definition(view))
        return {
            "entries": len(history.entries),
            "state": len(self._state),
            "blobs": len(self._blobs),
            "status": view.status,
            "running": sum(step.running for step in view.steps.values()),
            "name": view.name,
            "created": view.created_ms,
            "document": encode(shown).decode(),
            "steps": [encode(step).decode() for step in shown.steps],
            "jobs": {step.id: step.jobs for step in view.steps.values() if step.jobs},
            "definition": view.definition_digest,
            "graph": history.definition_json.decode(),
            "log_ttl_ms": int(log_ttl * 1000),
            "state_ttl_ms": int(state_ttl * 1000),
            "schema": WRITTEN,
            "about": about_of(view.name, view.tags),
        }


def _state_of(view: WorkflowView, blobs: dict[str, bytes]) -> dict[str, str]:
    """The state's JSON by key. Raises ImportRefused."""
    try:
        return {key: whole(value, blobs).decode() for key, value in view.state.items()}
    except KeyError as error:
        raise ImportRefused(f"payload {error} is not in the file, and its state needs it") from None


def _fields(entry: Entry) -> list[str]:
    name, fields = entry
    pairs = [_text(one, "an event") for pair in fields.items() for one in pair]
    return [name.decode(), *pairs]


def _text(data: bytes, what: str) -> str:
    """Raises ImportRefused."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{what} is no text: {error}") from error


def _size(fields: Sequence[str]) -> int:
    return sum(map(len, fields))


def _portions(found: Iterable[Any], size: Callable[[Any], int]) -> Iterator[list[Any]]:
    some: list[Any] = []
    weight = 0
    for one in found:
        if some and (len(some) == ENTRIES or weight + size(one) > BYTES):
            yield some
            some, weight = [], 0
        some.append(one)
        weight += size(one)
    if some:
        yield some
