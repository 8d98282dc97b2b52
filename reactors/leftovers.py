"""Remove what launchers leave on a host that die between recording an end and removing the rest."""

from __future__ import annotations

import structlog

from ..core.log import EventLog
from .runtimes.contract import Launch, Runtime

log = structlog.get_logger()


async def remove_leftovers(event_log: EventLog, runtime: Runtime) -> None:
    """Remove what the runtime still holds of jobs that have ended."""
    for workflow, job in await runtime.leftovers():
        launch = Launch(workflow=workflow, step="", index=0, attempt=0, job=job, image="")
        if await remove_ended(event_log, runtime, launch):
            log.info("launcher.removed_leftover", workflow=workflow, job=job)


async def remove_ended(event_log: EventLog, runtime: Runtime, launch: Launch) -> bool:
    """Stop and remove a job, unless it goes on, here or with another launcher."""

    async def has_ended() -> bool:
        return not await event_log.is_unsettled(launch.workflow, launch.job)

    if not await has_ended():
        return False
    await runtime.stop(launch, has_ended)
    return await runtime.remove(launch, has_ended)
