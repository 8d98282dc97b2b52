"""Views of long logs, kept so that reading them is a snapshot and the tail, not the whole log.

`workflow:<id>:snapshot` has a view as JSON, with the version and digest of the entry that it was
taken at. It counts only where the log has that very entry: else the log was rolled back, or the
snapshot was damaged, and the whole log is folded. The projector writes one every so many events,
and fewer the longer the log (`is_due`), so that all snapshots of a log cost a part of its length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import msgspec.structs

from ..core import events as e
from ..core.errors import WorkflowNotFound
from ..core.log import PAGE, EventLog
from ..core.payloads import NULL
from .fold import apply
from .state import Extended, StateValue
from .workflow import JobView, Result, StepView, WorkflowView

#: Grows when snapshots of former releases can no longer be used.
SCHEMA = 1
#: Applies one event to a view.
Advance = Callable[[WorkflowView, e.Recorded], object]
#: A snapshot is due when the log has grown by this share of its length since the last one.
SHARE = 4


class _Value(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A value: its JSON, where it lies beside the log, or a list of which parts do."""

    json: msgspec.Raw = NULL
    blob: e.Blob | None = None
    items: list[_Value] | None = None


class _Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step; `view` is without its results."""

    view: StepView
    results: dict[int, msgspec.Raw] = {}
    blobs: dict[int, e.Blob] = {}


class _Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """`view` is without what is kept apart here: results, inputs and state in their two forms."""

    view: _View
    steps: list[_Step] = []
    input: dict[str, msgspec.Raw] = {}
    input_blobs: dict[str, e.Blob] = {}
    state: dict[str, _Value] = {}
    result: _Value | None = None


class _View(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields of a `WorkflowView` that JSON holds as they are."""

    id: str
    version: int
    digest: str
    status: Any
    name: str
    code: str
    definition_digest: str
    init: msgspec.Raw = NULL
    items: dict[str, msgspec.Raw] = {}
    tags: dict[str, str] = {}
    forked_from: e.ForkedFrom | None = None
    trace: e.Trace | None = None
    jobs: dict[str, JobView] = {}
    error: e.WorkflowFailed | None = None
    reason: str = ""
    created_ms: int = 0
    started_ms: int | None = None
    updated_ms: int = 0
    ended_ms: int | None = None
    unsettled_jobs: int = 0
    completed_steps: int = 0
    timed_out: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Snapshot).decode


def is_due(version: int, last: int, every: int) -> bool:
    """Whether a view of this version is to be kept, when the last one was of version `last`."""
    return every > 0 and version - last >= max(every, last // SHARE)


def encode_snapshot(view: WorkflowView) -> bytes:
    plain = {name: getattr(view, name) for name in _View.__struct_fields__}
    inline, blobs = _apart(view.input)
    return _encode(
        _Snapshot(
            _View(**plain),
            # Whoever looks at a step of which no event tells makes an empty one.
            [_step(step) for step in view.steps.values() if step != StepView(step.id)],
            inline,
            blobs,
            {key: _value(value) for key, value in view.state.items()},
            None if view.result is None else _value(view.result),
        )
    )


def decode_snapshot(data: bytes) -> WorkflowView:
    """The view; what is to be decided and shown is all of it. Raises msgspec.DecodeError."""
    found = _decode(data)
    return WorkflowView(
        **msgspec.structs.asdict(found.view),
        input={**found.input, **found.input_blobs},
        steps={one.view.id: _restored(one) for one in found.steps},
        state={key: _state(value) for key, value in found.state.items()},
        result=None if found.result is None else _plain(found.result),
        new_jobs=list(found.view.jobs),
    )


async def load_view(log: EventLog, workflow: str, *, advance: Advance = apply) -> WorkflowView:
    """The view of now, by the snapshot where the log is long. Raises WorkflowNotFound.

    `advance` applies an event to a view: with that of `histories` a damaged log can be read, too.
    """
    events = await log.read(workflow, limit=PAGE)
    if not events:
        raise WorkflowNotFound(workflow)
    view = _advance(WorkflowView(workflow), events, advance)
    if len(events) < PAGE:
        return view
    if newer := await read_snapshot(log, workflow):
        tail = await log.read(workflow, after=newer.version - 1)
        if tail and (tail[0].version, tail[0].digest) == (newer.version, newer.digest):
            return _advance(newer, tail[1:], advance)
    return _advance(view, await log.read(workflow, after=view.version), advance)


async def read_snapshot(log: EventLog, workflow: str) -> WorkflowView | None:
    """The snapshot, when there is one that this release can read and that is what it says."""
    key = log.keys.workflow(workflow, "snapshot")
    version, digest, schema, data = await log.connection.call(
        lambda: log.redis.hmget(key, "v", "dg", "p", "view")
    )
    if data is None or int(schema or 0) != SCHEMA:
        return None
    try:
        view = decode_snapshot(data)
    except msgspec.DecodeError:
        return None
    is_that = (view.id, view.version, view.digest) == (workflow, int(version), digest.decode())
    return view if is_that else None


def _advance(view: WorkflowView, events: list[e.Recorded], advance: Advance) -> WorkflowView:
    for recorded in events:
        advance(view, recorded)
    return view


def _apart(values: dict[Any, Result]) -> tuple[dict[Any, msgspec.Raw], dict[Any, e.Blob]]:
    """What is JSON, and what lies beside the log."""
    blobs = {key: value for key, value in values.items() if isinstance(value, e.Blob)}
    inline = {key: value for key, value in values.items() if not isinstance(value, e.Blob)}
    return inline, blobs


def _step(step: StepView) -> _Step:
    results, blobs = _apart(step.results)
    return _Step(msgspec.structs.replace(step, results={}), results, blobs)


def _restored(one: _Step) -> StepView:
    one.view.results = {**one.results, **one.blobs}
    return one.view


def _value(value: StateValue) -> _Value:
    match value:
        case e.Blob():
            return _Value(blob=value)
        case Extended(base, appended):
            return _Value(items=[_value(base), *map(_value, appended)])
        case raw:
            return _Value(raw)


def _state(value: _Value) -> StateValue:
    if value.items is None:
        return _plain(value)
    base, *appended = map(_plain, value.items)
    return Extended(base, appended)


def _plain(value: _Value) -> Result:
    return value.blob or value.json
