"""Write the documents of workflows from the views that an engine holds.

Under load many versions become one write: a document lags the log by at most `LAG` seconds and the
round trip. The end of a workflow is written at once.
"""

from __future__ import annotations

import anyio

from ..core.definition import Definition
from ..core.log import EventLog
from ..projections.documents import document, encode
from ..projections.workflow import WorkflowView

LAG = 0.1


class Projector:
    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._dirty: dict[str, tuple[WorkflowView, Definition]] = {}
        self._wake = anyio.Event()

    def mark(self, view: WorkflowView, definition: Definition) -> None:
        """Note that the view has moved on; its documents follow soon."""
        self._dirty[view.id] = (view, definition)
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await anyio.sleep(LAG)
            await self.flush()

    async def flush(self) -> None:
        while self._dirty:
            _, (view, definition) = self._dirty.popitem()
            await self.write(view, definition)

    async def write(self, view: WorkflowView, definition: Definition) -> None:
        """Write the documents of a view as it is now."""
        self._dirty.pop(view.id, None)
        whole = document(view, definition)
        jobs = list(view.jobs) if view.ended else view.new_jobs
        view.new_jobs = []
        by_step: dict[str, list[str]] = {}
        for job in jobs:
            by_step.setdefault(view.jobs[job].step, []).append(job)
        await self._log.scripts.project(
            view.id,
            version=view.version,
            status=view.status,
            document=encode(whole).decode(),
            steps=[encode(step).decode() for step in whole.steps],
            jobs=by_step,
            created=view.created_ms,
            **(self._lifetimes(view) if view.ended else {}),
        )

    def _lifetimes(self, view: WorkflowView) -> dict[str, object]:
        settings = self._log.settings
        return {
            "log_ttl_ms": int(settings.log_ttl * 1000),
            "state_ttl_ms": int(settings.state_ttl * 1000),
            "logs": list(view.jobs),
        }
