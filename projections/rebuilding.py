"""Make the projections of one workflow anew from its log, and compare them with what is live.

Pure: `compare` gets what is live, all read at one moment, and what the log says. A projection that
differs comes back as what is to be in its place (`parts/rebuilding.lua` has its form), with the
first place where they differ. What lags the log, and is right for the version that it names, does
not differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ..core.definition import Definition
from ..core.events import Blob, Recorded
from ..core.keys import IMPORTED
from .catalogue import BY_NAME, DOCUMENTS, LISTINGS, SNAPSHOTS, STATE, WRITTEN
from .comparing import first_difference
from .documents import document, encode
from .fold import apply
from .snapshots import SCHEMA as SNAPSHOT_SCHEMA
from .snapshots import decode_snapshot, encode_snapshot
from .state import Extended, StateValue, whole
from .walk import tag_set
from .workflow import WorkflowView

_decode: Callable[[bytes], Any] = msgspec.json.decode
#: Most that is shown of a value.
LONGEST = 200


class Live(msgspec.Struct):
    """What Redis has of one workflow beside its log."""

    meta: dict[str, str] = {}
    document: bytes | None = None
    steps: list[bytes] = []
    #: Ids of agents by step.
    jobs: dict[str, set[str]] = {}
    state: dict[str, bytes] = {}
    #: `v`, `dg`, `p` and `view`; empty when there is none.
    snapshot: dict[str, bytes] = {}
    #: Listings that it is in, as parts of their keys below the partition, with its score there.
    listed: dict[str, float] = {}
    #: It is listed as active.
    active: bool = False

    @property
    def shown(self) -> int:
        """Version of the document; 0: there is none yet."""
        return int(self.meta.get("doc_v", 0))


class Difference(msgspec.Struct, frozen=True):
    """The first place where a live projection is not what the log gives."""

    workflow: str
    projection: str
    path: str
    live: Any = None
    built: Any = None


class Made(msgspec.Struct, frozen=True):
    """A projection made anew because the live one differs."""

    difference: Difference
    content: dict[str, Any]


class Told(msgspec.Struct, frozen=True):
    """What a log says: now, at the version of the document, and at that of the snapshot."""

    now: WorkflowView
    definition: Definition
    shown: Shown | None
    snapshot: bytes | None
    #: Payloads that lie beside the log, by digest.
    payloads: Mapping[str, bytes] = {}
    #: What is left to the state of an ended workflow, ms; None: it has gone, rightly.
    state_ms: int | None = 0


class Shown(msgspec.Struct, frozen=True):
    """The documents of one version."""

    version: int
    status: str
    document: dict[str, Any]
    steps: list[dict[str, Any]]
    jobs: dict[str, set[str]]


def tell(
    workflow: str,
    events: Iterable[Recorded],
    definition: Definition,
    *,
    shown: int = 0,
    snapshot: int = 0,
    payloads: Mapping[str, bytes] | None = None,
    state_ms: int | None = 0,
) -> Told:
    """Fold a log once, with a look at the versions that are live."""
    view = WorkflowView(workflow)
    documents: Shown | None = None
    kept: bytes | None = None
    for recorded in events:
        apply(view, recorded)
        if view.version == shown:
            documents = show(view, definition)
        if view.version == snapshot:
            kept = encode_snapshot(view)
    return Told(view, definition, documents, kept, payloads or {}, state_ms)


def show(view: WorkflowView, definition: Definition) -> Shown:
    made = document(view, definition)
    jobs = {step.id: set(view.step(step.id).jobs) for step in definition.steps}
    steps = [_decode(encode(step)) for step in made.steps]
    return Shown(view.version, view.status, _decode(encode(made)), steps, jobs)


def large_values(view: WorkflowView) -> set[str]:
    """Digests of what the state has beside the log."""
    return {digest for value in view.state.values() for digest in _digests(value)}


def _digests(value: StateValue | msgspec.Raw | Blob) -> Iterable[str]:
    match value:
        case Blob(digest=digest):
            yield digest
        case Extended(base, appended):
            for part in (base, *appended):
                yield from _digests(part)
        case _:
            pass


def compare(name: str, live: Live, told: Told) -> Made | None:
    """What is to take the place of a live projection; None when it is right."""
    return _COMPARE[name](live, told)


def _compare_documents(live: Live, told: Told) -> Made | None:
    now, shown = told.now, told.shown
    if live.shown == 0 and not now.ended:
        return None  # nobody has served it yet
    path: tuple[str, Any, Any] | None = None
    if shown is None or (now.ended and shown.version < now.version):
        path = ("version", live.shown, now.version)
    elif live.meta.get("doc_p") != WRITTEN:
        path = ("schema", live.meta.get("doc_p"), WRITTEN)
    else:
        path = (
            _first("document", _read(live.document), shown.document)
            or _first("steps", [_read(step) for step in live.steps], shown.steps)
            or _first("jobs", _sorted(live.jobs), _sorted(shown.jobs))
        )
    if path is None:
        return None
    new = show(now, told.definition)
    content = {
        "version": now.version,
        "schema": WRITTEN,
        "status": now.status,
        "created": now.created_ms,
        "document": encode(new.document).decode(),
        "steps": [encode(step).decode() for step in new.steps],
        "jobs": [(step, sorted(jobs)) for step, jobs in new.jobs.items()],
    }
    return Made(Difference(now.id, DOCUMENTS, *path), content)


def _compare_state(live: Live, told: Told) -> Made | None:
    now, schema = told.now, str(BY_NAME[STATE].schema)
    if told.state_ms is None and not live.state:
        return None
    fields = {key: whole(value, told.payloads) for key, value in now.state.items()}
    there = {key: _read(value) for key, value in live.state.items()}
    expected = {key: _read(value) for key, value in fields.items()}
    if path := _first("state", there, expected):
        pass
    elif live.meta.get("state_p") != schema:
        path = ("schema", live.meta.get("state_p"), schema)
    else:
        return None
    content = {
        "version": now.version,
        "digest": now.digest,
        "schema": schema,
        "fields": [text for key, value in fields.items() for text in (key, value.decode())],
        "ttl_ms": told.state_ms or 0,
    }
    return Made(Difference(now.id, STATE, *path), content)


def _compare_listings(live: Live, told: Told) -> Made | None:
    """The status that it is listed under is that of its document."""
    now = told.now
    status = told.shown.status if told.shown else live.meta.get("doc_status", now.status)
    lasting = [("workflows",), ("named", now.name), *(tag_set(*tag) for tag in now.tags.items())]
    wanted = {":".join(parts) for parts in [*lasting, ("workflows", status)]}
    expected = {part: float(now.created_ms) for part in sorted(wanted)}
    path = _first("listed", dict(sorted(live.listed.items())), expected)
    is_active = not now.ended and live.meta.get("lane") != IMPORTED
    if path is None and live.active != is_active:
        path = ("active", live.active, is_active)
    if path is None and live.meta.get("doc_status") != status:
        path = ("status", live.meta.get("doc_status"), status)
    if path is None:
        return None
    content = {
        "version": live.shown,
        "status": status,
        "created": now.created_ms,
        "about": {"name": now.name, "tags": sorted(now.tags.items())},
        "others": sorted(set(live.listed) - wanted),
    }
    return Made(Difference(now.id, LISTINGS, *path), content)


def _compare_snapshots(live: Live, told: Told) -> Made | None:
    """A snapshot counts only when it is what folding its versions gives; there need not be one."""
    if not live.snapshot:
        return None
    now, path = told.now, _wrong_snapshot(live, told)
    if path is None:
        return None
    content = {
        "version": now.version,
        "digest": now.digest,
        "schema": str(SNAPSHOT_SCHEMA),
        "view": encode_snapshot(now).decode(),
    }
    return Made(Difference(now.id, SNAPSHOTS, *path), content)


def _wrong_snapshot(live: Live, told: Told) -> tuple[str, Any, Any] | None:
    kept = live.snapshot
    if kept.get("p") != str(SNAPSHOT_SCHEMA).encode():
        return "schema", (kept.get("p") or b"").decode(), str(SNAPSHOT_SCHEMA)
    if told.snapshot is None:
        return "version", (kept.get("v") or b"").decode(), told.now.version
    try:
        view = decode_snapshot(kept.get("view", b""))
    except msgspec.DecodeError as error:
        return "view", str(error), "a view"
    digest = decode_snapshot(told.snapshot).digest
    if (there := kept.get("dg", b"").decode()) != digest:
        return "digest", there, digest
    return _first("view", _decode(encode_snapshot(view)), _decode(told.snapshot))


_COMPARE: dict[str, Callable[[Live, Told], Made | None]] = {
    DOCUMENTS: _compare_documents,
    LISTINGS: _compare_listings,
    STATE: _compare_state,
    SNAPSHOTS: _compare_snapshots,
}


def _read(data: bytes | None) -> Any:
    """JSON as plain values; what is none is shown as text."""
    if data is None:
        return None
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError):
        return data.decode("utf-8", "replace")


def _sorted(jobs: Mapping[str, set[str]]) -> dict[str, list[str]]:
    return {step: sorted(ids) for step, ids in sorted(jobs.items())}


def _first(path: str, live: Any, built: Any) -> tuple[str, Any, Any] | None:
    """The first place where two plain values differ, and what is there, cut where it is long."""
    found = first_difference(live, built, path)
    return found and (found[0], _short(found[1]), _short(found[2]))


def _short(value: Any) -> Any:
    if value is msgspec.UNSET:
        return None
    text = encode(value).decode()
    return value if len(text) <= LONGEST else f"{text[:LONGEST]}…"
