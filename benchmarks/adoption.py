"""A launcher is killed while its containers run: how soon the next one follows them again."""

from __future__ import annotations

import time

import docker

from agentainer_flow.core import events as e
from agentainer_flow.core.log import EventLog
from agentainer_flow.sdk import client
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop

from .figures import Measured
from .flows import Sleepers
from .runs import count_in, start_all, until, wait_until_ended
from .stage import ENGINE, Stage, worker

LABEL = "agentainer.installation"


def measure(stage: Stage) -> Measured:
    count = 4 if stage.quick else 50
    settings = {"RUNTIME": "docker", "AGENT_SLOTS": str(count)}
    if stage.quick:
        settings["LEASE"] = "1"

    async def main() -> Measured:
        async with connect() as log:
            try:
                return await _measure(stage, log, count)
            finally:
                remove_containers(await log.installation())

    with stage.empty(**settings):
        return run_loop(main)


async def _measure(stage: Stage, log: EventLog, count: int) -> Measured:
    with stage.serving(ENGINE, worker("Sleepers")) as processes:
        with stage.serving(("launcher",)):
            (workflow,) = await start_all([Sleepers()], items=count)
            await until(lambda: _has(log, workflow, count, adopted=False))
            before = containers(await log.installation())
        # Leaving the block has killed the launcher.
        killed = time.monotonic()
        await until(lambda: _orphans(log, count))
        begun = time.monotonic()
        with stage.serving(("launcher",)) as launchers:
            await until(lambda: _has(log, workflow, count, adopted=True))
            adopted = time.monotonic()
            relaunched = len(containers(await log.installation()) - before)
            await client.cancel(log, workflow)
            await wait_until_ended(log, [*processes, *launchers])
    return {
        "adopted_containers": count,
        "adopted_s": adopted - begun,
        "adopted_since_kill_s": adopted - killed,
        "relaunched": relaunched + len(before) - count,
    }


async def _has(log: EventLog, workflow: str, count: int, *, adopted: bool) -> bool:
    """Whether so many agents were launched, or adopted."""
    events = [recorded.event for recorded in await log.read(workflow)]
    launched = [event for event in events if isinstance(event, e.JobLaunched)]
    return sum(event.adopted == adopted for event in launched) == count


async def _orphans(log: EventLog, count: int) -> bool:
    """Whether the lease of the killed launcher has run out and its agents are on offer."""
    return await count_in(log, log.redis.zcard, "orphans") == count


def containers(installation: str) -> set[str]:
    """Ids of all containers of an installation."""
    api = docker.from_env()
    try:
        found = api.containers.list(all=True, filters={"label": f"{LABEL}={installation}"})
        return {str(container.id) for container in found}
    finally:
        api.close()


def remove_containers(installation: str) -> None:
    """Also when a measurement failed, nothing runs on."""
    api = docker.from_env()
    try:
        for name in containers(installation):
            api.api.remove_container(name, v=True, force=True)
    finally:
        api.close()
