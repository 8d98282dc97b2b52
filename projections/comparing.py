"""What is kept of one workflow beside its log, against a fold of that log. Pure.

Each live projection is held against the version that it says it has. Documents may lag while a
workflow is under way; the state never does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from ..core.definition import Definition
from ..core.keys import IMPORTED
from ..core.payloads import decode
from .documents import document, encode
from .snapshots import encode_snapshot
from .state import StateValue, whole
from .workflow import WorkflowView

#: Longest text of a value that is told.
LONGEST = 80


class Live(msgspec.Struct):
    """What Redis keeps of a workflow, read at one moment."""

    #: Version and digest of the last event then.
    version: int = 0
    digest: str = ""
    status: str = ""
    lane: str = ""
    #: Version and status of the documents, as the scripts know them.
    doc_version: int = 0
    doc_status: str = ""
    document: bytes | None = None
    steps: list[bytes] = []
    #: Ids of agents, by step.
    jobs: dict[str, set[str]] = {}
    state: dict[str, bytes] = {}
    #: The state's key has outlived the time that it is kept.
    state_expired: bool = False
    listed: bool = False
    by_status: set[str] = set()
    active: bool = False
    #: Keys of another type than they should have.
    wrong: list[str] = []
    #: A view of a long log, and the version that it says it has; 0: none that this release reads.
    snapshot_version: int = 0
    snapshot: bytes = b""

    @property
    def shown(self) -> dict[str, Any] | None:
        """The document, if there is one that can be read."""
        try:
            found = decode(self.document) if self.document else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return cast("dict[str, Any]", found) if isinstance(found, dict) else None

    @property
    def shown_version(self) -> int:
        version = (self.shown or {}).get("version")
        return version if isinstance(version, int) else 0


class Difference(msgspec.Struct, frozen=True):
    """The first path of a projection at which it is not what the log gives."""

    projection: str
    version: int
    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        place = f"{self.projection} at event {self.version}"
        path = f", {self.path}" if self.path else ""
        return f"{place}{path}: expected {self.expected}, got {self.got}"


def compare_documents(
    view: WorkflowView, definition: Definition, live: Live
) -> Iterator[Difference]:
    """`view` is that of the version that the document says it has."""
    made = decode(encode(document(view, definition)))
    shown = live.shown or {}
    yield from _first("document", view.version, made, shown)
    steps = [_read(one) for one in live.steps]
    yield from _first("steps", view.version, made["steps"], steps)
    for step in view.steps.values():
        expected, got = sorted(step.jobs), sorted(live.jobs.get(step.id, set()))
        yield from _first(f"agents of step {step.id}", view.version, expected, got)


def compare_state(view: WorkflowView, blobs: dict[str, bytes], live: Live) -> Iterator[Difference]:
    """`view` is that of the last event there was when the state was read."""
    if live.state_expired and not live.state:
        return
    for key in sorted({*view.state, *live.state}):
        told = view.state.get(key)
        expected = msgspec.UNSET if told is None else _whole(told, blobs)
        got = live.state.get(key, msgspec.UNSET)
        if expected == got:
            continue
        one, other = (
            value if value is msgspec.UNSET else _read(value) for value in (expected, got)
        )
        yield from _first("state", view.version, one, other, key)


def compare_listings(view: WorkflowView, live: Live) -> Iterator[Difference]:
    """`view` is as for the state."""
    facts = [
        ("listing", "", True, live.listed),
        ("listing by status", "", [live.doc_status], sorted(live.by_status)),
        ("active workflows", "", not view.ended and live.lane != IMPORTED, live.active),
        ("what scripts go by", "status", view.status, live.status),
        ("what scripts go by", "digest", view.digest, live.digest),
    ]
    for name, path, expected, got in facts:
        yield from _first(name, view.version, expected, got, path)
    shown = (live.shown or {}).get("status", live.doc_status)
    yield from _first("listing by status", live.shown_version, shown, live.doc_status)


def compare_snapshot(view: WorkflowView, live: Live) -> Iterator[Difference]:
    """`view` is that of the version that the snapshot says it has."""
    made, kept = (_by_step(_read(data)) for data in (encode_snapshot(view), live.snapshot))
    yield from _first("snapshot", view.version, made, kept)


def _by_step(snapshot: Any) -> Any:
    """A snapshot in which the order of steps, which is that of looking at them, does not count."""
    if not isinstance(snapshot, dict):
        return snapshot
    found = cast("dict[str, Any]", snapshot)
    return {**found, "steps": {one["view"]["id"]: one for one in found.get("steps", [])}}


def compare_presence(view: WorkflowView, live: Live) -> Iterator[Difference]:
    """What has to be there, and has to be readable."""
    if live.snapshot_version > view.version:
        text = str(live.snapshot_version)
        yield Difference("snapshot", view.version, "version", f"up to {view.version}", text)
    for key in live.wrong:
        yield Difference(key, live.version, "", "another type of key", "a key of a wrong type")
    if live.document is None:
        if view.ended and not live.wrong:
            yield Difference("document", view.version, "", "a document", "none")
    elif live.shown is None:
        yield Difference("document", view.version, "", "JSON", _say(live.document))
    elif not 0 < live.shown_version <= view.version:
        path = f"1 to {view.version}"
        yield Difference("document", view.version, "version", path, str(live.shown_version))
    elif view.ended and live.shown_version != view.version:
        path = str(view.version)
        yield Difference("document", view.version, "version", path, str(live.shown_version))


def first_difference(one: Any, other: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """The first path at which two plain values differ, and what they are there."""
    return None if _alike(one, other) else _search(one, other, path)


def _alike(one: Any, other: Any) -> bool:
    """Whether they are the same to the letter: quick, where most are."""
    try:
        return msgspec.json.encode(one) == msgspec.json.encode(other)
    except (TypeError, ValueError):  # none that JSON has
        return False


def _search(one: Any, other: Any, path: str) -> tuple[str, Any, Any] | None:
    pairs = _parts(one, other)
    if pairs is None:
        return None if _same(one, other) else (path, one, other)
    for name, first, second in pairs:
        if found := _search(first, second, f"{path}.{name}" if path else name):
            return found
    return None


def _parts(one: Any, other: Any) -> list[tuple[str, Any, Any]] | None:
    """What is below both, by name; None where they have to be compared as a whole."""
    if isinstance(one, dict) and isinstance(other, dict):
        first, second = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        names = dict.fromkeys([*first, *second])
        none = msgspec.UNSET
        return [(name, first.get(name, none), second.get(name, none)) for name in names]
    if isinstance(one, list) and isinstance(other, list):
        items, others = cast("Sequence[Any]", one), cast("Sequence[Any]", other)
        if len(items) == len(others):
            return [(str(at), *both) for at, both in enumerate(zip(items, others, strict=True))]
    return None


def _same(one: Any, other: Any) -> bool:
    """Python takes true for 1."""
    return one is other or (isinstance(one, bool) == isinstance(other, bool) and one == other)


def _first(
    projection: str, version: int, expected: Any, got: Any, path: str = ""
) -> Iterator[Difference]:
    if found := first_difference(expected, got, path):
        place, one, other = found
        yield Difference(projection, version, place, _say(one), _say(other))


def _whole(value: StateValue, blobs: dict[str, bytes]) -> bytes:
    try:
        return whole(value, blobs)
    except KeyError as error:
        return b'"payload %b, which is missing"' % str(error).encode()


def _read(data: Any) -> Any:
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"{data!r}, which is no JSON"


def _say(value: Any) -> str:
    if value is msgspec.UNSET:
        return "nothing"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
