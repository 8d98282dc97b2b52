"""All roles of one engine in this process, with agents played by the test.

As `agentainer up` has them, but for two things: engine and worker do not take the short way past
the log (see `reactors/hop.py`), so that each transition is one to stop at; and what a janitor does
for a worker that died is done when the test has one die.
"""

from __future__ import annotations

import anyio
import anyio.abc

from ...core.bell import Bell
from ...core.log import EventLog
from ...reactors.capacity import Capacity
from ...reactors.clock import Clock
from ...reactors.engine import Engine
from ...reactors.lane import Lane
from ...reactors.launcher import Launcher
from ...reactors.projector import Projector
from ...reactors.runtimes.contract import Runtime
from ..execution import Run
from ..graph import WorkflowCode
from ..worker import Worker


class Roles:
    """The roles of one process for all workflows of a log."""

    def __init__(self, log: EventLog, runtime: Runtime, *, lease: float) -> None:
        """`lease` is how long a worker that died keeps its tasks, seconds."""
        self._log = log
        self._lease = lease
        projector = Projector(log)
        self._bell = Bell(log)
        self._engine = Engine(log, Lane(log), projector)
        self._clock = Clock(log, self._bell)
        self._capacity = Capacity(log.settings.agent_slots, log.settings.agent_memory)
        self._runtime = runtime
        self._launcher = Launcher(log, self._bell, self._open_runtime, capacity=self._capacity)
        self._mains = [projector.run, self._bell.run, self._clock.run, self._launcher.run]
        self._codes: dict[str, WorkflowCode] = {}
        #: Instances that tests have made, by workflow.
        self._kept: dict[str, Run] = {}
        self._worker: Worker | None = None
        self._scope = anyio.CancelScope()
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._bell.open()
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._engine.run)
            for main in self._mains:
                self._tasks.start_soon(main)
            self._begin_worker(self._tasks)

    async def _open_runtime(self) -> Runtime:
        return self._runtime

    def serve(self, code: WorkflowCode) -> None:
        """Run steps of this class from now on."""
        self._codes[code.name] = code
        if self._worker:
            self._worker.serve(code)

    def keep(self, workflow: str, run: Run) -> None:
        """Run the steps of a workflow as methods of this instance."""
        self._kept[workflow] = run
        if self._worker:
            self._worker.runs.keep(workflow, run)

    def lose_worker(self) -> None:
        """Let the worker die where it stands; another one begins."""
        if self._worker and self._tasks:
            self._scope.cancel()
            self._tasks.start_soon(self._bury, self._worker.session)
            self._begin_worker(self._tasks)

    def _begin_worker(self, tasks: anyio.abc.TaskGroup) -> None:
        slots = Capacity(self._log.settings.slots)
        self._worker = Worker(self._log, self._bell, self._codes.values(), capacity=slots)
        for workflow, run in self._kept.items():
            self._worker.runs.keep(workflow, run)
        self._scope = anyio.CancelScope()
        tasks.start_soon(self._work, self._worker, self._scope)

    @staticmethod
    async def _work(worker: Worker, scope: anyio.CancelScope) -> None:
        with scope:
            await worker.run()

    async def _bury(self, session: str) -> None:
        """Take back what a dead worker holds, once its lease is over."""
        await anyio.sleep(self._lease)
        scripts = self._log.scripts
        await scripts.renew(0, lanes=[], sessions=[session], lease_ms=0)
        while any((await scripts.sweep(0)).taken):
            pass
