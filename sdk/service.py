"""The roles of one process for the shared lanes of all partitions: all of the roles, or some.

    scheduler   engine and projector: a lane has one owner at a time, each process its share of them
    clock       lets timers happen
    janitor     takes over from the dead
    worker      runs steps
    launcher    runs agents

Any number of processes may have the same role. A process that is asked to stop lets the tasks that
run end while its other roles go on, and then hands back what it owns, so that others can go on with
it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

import anyio
import anyio.abc
import structlog

from ..core.errors import RuntimeUnavailable
from ..core.ids import new_session
from ..core.log import EventLog
from ..reactors.capacity import Capacity
from ..reactors.leftovers import remove_leftovers
from ..reactors.runtimes.choose import open_runtime
from ..reactors.runtimes.contract import Runtime
from ..reactors.share import Share
from .graph import WorkflowCode
from .partition import Common, PartitionRoles

log = structlog.get_logger()

REACTORS = ("scheduler", "clock", "janitor")
ROLES = (*REACTORS, "worker", "launcher")
#: Longest time for handing back, seconds: Redis may be away for good. The second is for a process
#: that Redis never heard of.
FAREWELL, SHORT_FAREWELL = 5.0, 0.4


class Service:
    """The roles that this process has, in every partition; slots and runtime are for all."""

    def __init__(
        self, log: EventLog, codes: Sequence[WorkflowCode] = (), *, roles: Collection[str] = ROLES
    ) -> None:
        self._log = log
        self._runtime: Runtime | None = None
        self._opening = anyio.Lock()
        self._has_launcher = "launcher" in roles
        names = {role: new_session(role) for role in ROLES if role in roles}
        self._share = (
            Share(log, names["scheduler"])
            if "scheduler" in names and log.keys.partitions > 1
            else None
        )
        common = Common(
            log,
            codes,
            names,
            tasks=Capacity(log.settings.slots),
            agents=Capacity(log.settings.agent_slots, log.settings.agent_memory),
            open_runtime=self._get_runtime,
            share=self._share,
        )
        self._partitions = [
            PartitionRoles(common, partition) for partition in range(log.keys.partitions)
        ]

    async def run(
        self,
        stop: anyio.Event | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `stop`, or until cancelled: then running tasks get no time to end.

        Started once Redis has answered, which may take until it is there; `stop` is heeded then.
        """
        await self._in_all(PartitionRoles.open)
        try:
            async with anyio.create_task_group() as tasks:
                if self._share:
                    tasks.start_soon(self._share.run)
                if self._has_launcher:
                    tasks.start_soon(self._keep_clean)
                for partition in self._partitions:
                    partition.start(tasks)
                task_status.started()
                await (stop or anyio.Event()).wait()
                if await self._is_heard_of():
                    with anyio.move_on_after(self._log.settings.grace):
                        await self._in_all(PartitionRoles.drain)
                    with anyio.move_on_after(FAREWELL):
                        await self._in_all(PartitionRoles.rest)
                tasks.cancel_scope.cancel()
        finally:
            farewell = FAREWELL if self._has_sessions else SHORT_FAREWELL
            with anyio.move_on_after(farewell, shield=True):
                await self._in_all(PartitionRoles.hand_over)
                if self._runtime:
                    await self._runtime.close()

    @property
    def _has_sessions(self) -> bool:
        return all(partition.has_session for partition in self._partitions)

    async def _is_heard_of(self) -> bool:
        """Whether Redis knows our sessions; those that are on their way get a moment more."""
        if not self._has_sessions:
            with anyio.move_on_after(SHORT_FAREWELL):
                await self._in_all(PartitionRoles.wait_for_session)
        return self._has_sessions

    async def _in_all(self, do: Callable[[PartitionRoles], Coroutine[Any, Any, None]]) -> None:
        async with anyio.create_task_group() as tasks:
            for partition in self._partitions:
                tasks.start_soon(do, partition)

    async def _keep_clean(self) -> None:
        """Remove for ever what launchers left on this host that died."""
        while True:
            try:
                await remove_leftovers(self._log, await self._get_runtime())
            except (RuntimeUnavailable, OSError) as error:
                log.debug("launcher.cannot_clean", problem=str(error))
            await anyio.sleep(self._log.settings.lease)

    async def _get_runtime(self) -> Runtime:
        """One for all launchers here: it bounds how many containers start at a time."""
        async with self._opening:
            if self._runtime is None:
                installation = await self._log.installation()
                self._runtime = await open_runtime(self._log.settings, installation)
            return self._runtime
