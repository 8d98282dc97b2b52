"""All roles in one process, for the shared lane: what `agentainer up` runs."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.abc

from ..core.bell import Bell
from ..core.log import EventLog
from ..reactors.clock import Clock
from ..reactors.engine import Engine
from ..reactors.janitor import Janitor
from ..reactors.launcher import Launcher
from ..reactors.projector import Projector
from ..reactors.runtimes.choose import open_runtime
from ..reactors.runtimes.contract import Runtime
from .graph import WorkflowCode
from .worker import Worker


class Service:
    """Engine, worker, launcher, projector and janitor of one partition."""

    def __init__(self, log: EventLog, codes: Sequence[WorkflowCode], *, partition: int = 0) -> None:
        self._log = log
        settings = log.settings
        self._bell = Bell(log, partition=partition)
        self._projector = Projector(log)
        self._engine = Engine(log, self._projector, partition=partition)
        self._janitor = Janitor(log, partition=partition)
        self._clock = Clock(log, self._bell, partition=partition)
        self._worker = Worker(log, self._bell, codes, partition=partition, slots=settings.slots)
        self._launcher = Launcher(
            log, self._bell, self._open_runtime, partition=partition, slots=settings.agent_slots
        )

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; then let others take over at once."""
        await self._bell.open()
        try:
            async with anyio.create_task_group() as tasks:
                for role in (self._bell, self._projector, self._engine, self._janitor, self._clock):
                    tasks.start_soon(role.run)
                tasks.start_soon(self._worker.run)
                tasks.start_soon(self._launcher.run)
                task_status.started()
        finally:
            with anyio.move_on_after(self._log.settings.lease, shield=True):
                await self._engine.release([self._worker.session, self._launcher.session])

    async def _open_runtime(self) -> Runtime:
        return await open_runtime(self._log.settings, await self._log.installation())
