"""What listings say about workflows: a part of their documents.

A workflow that nobody has served yet, so that it has no document, is folded from its log; one
whose log has expired is passed over.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from ..core.log import EventLog
from .documents import document, encode
from .workflow import WorkflowView, fold


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

    @property
    def steps_done(self) -> int:
        return sum(step.status == "completed" for step in self.steps)


_decode = msgspec.json.Decoder(Summary).decode


async def summaries(log: EventLog, ids: list[str]) -> list[Summary]:
    """What there is of these ids, in their order; those whose log has expired are left out."""
    if not ids:
        return []
    keys = [log.keys.workflow(name) for name in ids]
    documents: list[bytes | None] = await log.connection.call(lambda: log.redis.mget(keys))
    found: list[Summary] = []
    for workflow, data in zip(ids, documents, strict=True):
        if data is not None:
            found.append(_decode(data))
        elif summary := await _fold(log, workflow):
            found.append(summary)
    return found


async def _fold(log: EventLog, workflow: str) -> Summary | None:
    events = await log.read(workflow)
    if not events:
        return None
    view: WorkflowView = fold(workflow, events)
    return _decode(encode(document(view, await log.get_definition(view.definition_digest))))
