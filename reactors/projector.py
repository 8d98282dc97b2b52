"""Write the documents of workflows from the views that an engine holds.

Under load many versions become one write, and many workflows one call: a document lags the log by
at most `LONGEST` seconds and the round trip. The end of a workflow is written at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import structlog
from redis import exceptions

from ..core.definition import Definition
from ..core.log import EventLog
from ..projections.catalogue import WRITTEN as WRITTEN_SCHEMAS
from ..projections.documents import document, encode
from ..projections.snapshots import SCHEMA as SNAPSHOT_SCHEMA
from ..projections.snapshots import encode_snapshot, is_due
from ..projections.workflow import WorkflowView

log = structlog.get_logger()

#: Seconds between two rounds of writing: with nothing else to do, and at the most.
LAG, LONGEST = 0.1, 1.0
#: Share of the time that writing may take before the rounds become fewer.
SHARE = 0.1
#: Workflows written by one call.
WRITTEN = 25

_Shown = tuple[WorkflowView, Definition]


class Projector:
    """Documents of one partition."""

    def __init__(self, log: EventLog, *, partition: int = 0) -> None:
        self._log = log
        self._partition = partition
        self._dirty: dict[str, _Shown] = {}
        #: Versions of the last snapshots of long logs.
        self._snapshots: dict[str, int] = {}
        self._wake = anyio.Event()

    def mark(self, view: WorkflowView, definition: Definition) -> None:
        """Note that the view has moved on; its documents follow soon."""
        self._dirty[view.id] = (view, definition)
        self._wake.set()

    async def run(self) -> None:
        lag = LAG
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await anyio.sleep(lag)
            began = anyio.current_time()
            await self.flush()
            lag = min(LONGEST, max(LAG, (anyio.current_time() - began) / SHARE))

    async def flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        await self.write(dirty.values())

    async def write(self, shown: Iterable[_Shown]) -> None:
        """Write the documents of views as they are now."""
        waiting = list(shown)
        while waiting:
            some, waiting = waiting[:WRITTEN], waiting[WRITTEN:]
            for view, _ in some:
                self._dirty.pop(view.id, None)
            await self._send([self._document(view, definition) for view, definition in some])

    async def _send(self, documents: list[dict[str, Any]]) -> None:
        """Write documents; a workflow whose keys somebody else has used stops only itself."""
        try:
            await self._log.scripts.project(self._partition, documents)
        except exceptions.NoPermissionError:
            raise
        except exceptions.ResponseError:
            if len(documents) == 1:
                log.exception("projector.documents_refused", workflow=documents[0]["id"])
                return
            for one in documents:
                await self._send([one])

    def _document(self, view: WorkflowView, definition: Definition) -> dict[str, Any]:
        whole = document(view, definition)
        jobs = list(view.jobs) if view.ended else view.new_jobs
        view.new_jobs = []
        by_step: dict[str, list[str]] = {}
        for job in jobs:
            by_step.setdefault(view.jobs[job].step, []).append(job)
        return {
            "id": view.id,
            "version": view.version,
            "digest": view.digest,
            "status": view.status,
            "document": encode(whole).decode(),
            "steps": [encode(step).decode() for step in whole.steps],
            "jobs": by_step,
            "created": view.created_ms,
            "schema": WRITTEN_SCHEMAS,
            **self._snapshot(view),
            **(self._lifetimes(view, definition) if view.ended else {}),
        }

    def _snapshot(self, view: WorkflowView) -> dict[str, object]:
        """A snapshot of a view whose log has become long; of an ended one the last is enough."""
        last = self._snapshots.get(view.id, 0)
        if view.ended:
            self._snapshots.pop(view.id, None)
            return {}
        every = self._log.settings.snapshot_every
        if not view.digest or not is_due(view.version, last, every):
            return {}
        self._snapshots[view.id] = view.version
        data = encode_snapshot(view).decode()
        snapshot = {"view": data, "schema": SNAPSHOT_SCHEMA, "updated": view.updated_ms}
        return {"snapshot": snapshot}

    def _lifetimes(self, view: WorkflowView, definition: Definition) -> dict[str, object]:
        settings = self._log.settings
        return {
            "log_ttl_ms": int((definition.log_ttl_s or settings.log_ttl) * 1000),
            "state_ttl_ms": int((definition.state_ttl_s or settings.state_ttl) * 1000),
            "logs": list(view.jobs),
            **({"is_archived": True} if settings.archive else {}),
        }
