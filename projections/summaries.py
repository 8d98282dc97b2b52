"""What listings say about workflows: a part of their documents.

A workflow that nobody has served yet, so that it has no document, is folded from its log; one
whose log has expired is passed over. Of an archived one its tombstone says the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from ..core.log import EventLog
from .documents import document, encode
from .histories import definition_of, tolerant_fold
from .tombstones import decode_tombstone


class StepSummary(msgspec.Struct, frozen=True):
    id: str
    status: str


class Summary(msgspec.Struct, frozen=True):
    """What a listing says about one workflow: a part of its document."""

    id: str
    name: str
    status: str
    version: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: list[StepSummary]
    tags: dict[str, str] = {}
    #: Its log is in the archive.
    archived: bool = False

    @property
    def steps_done(self) -> int:
        return sum(step.status == "completed" for step in self.steps)


_decode = msgspec.json.Decoder(Summary).decode


async def summaries(log: EventLog, ids: list[str]) -> list[Summary]:
    """What there is of these ids, in their order; those whose log has expired are left out."""
    if not ids:
        return []
    shown = {one: _shown(data) for one, data in await _get(log, ids, [])}
    missing = [one for one in ids if shown[one] is None]
    if missing:
        shown |= {one: _archived(data) for one, data in await _get(log, missing, ["archived"])}
    found: list[Summary] = []
    for workflow in ids:
        if summary := shown[workflow] or await _fold(log, workflow):
            found.append(summary)
    return found


async def _get(
    log: EventLog, ids: list[str], parts: list[str]
) -> Iterable[tuple[str, bytes | None]]:
    """(id, value) of one part of the keys of workflows."""
    keys = [log.keys.workflow(one, *parts) for one in ids]
    values: list[bytes | None] = await log.connection.call(lambda: log.redis.mget(keys))
    return zip(ids, values, strict=True)


def _shown(data: bytes | None) -> Summary | None:
    """What a document says, if there is one that can be read."""
    try:
        return _decode(data) if data else None
    except msgspec.DecodeError:
        return None


def _archived(data: bytes | None) -> Summary | None:
    return _decode(decode_tombstone(data).summary) if data else None


async def _fold(log: EventLog, workflow: str) -> Summary | None:
    events = await log.read(workflow)
    if not events:
        return None
    view, _ = tolerant_fold(workflow, events)
    return _decode(encode(document(view, await definition_of(log, view))))
