"""Picks the runtime that the settings ask for, or that this host has."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...core.errors import RuntimeUnavailable
from ...core.settings import Settings
from .answer import RESULT_LIMIT
from .contract import Runtime
from .process import ProcessRuntime


class Choice(msgspec.Struct, frozen=True):
    """An opened runtime, and in words which one it is and why."""

    runtime: Runtime
    why: str


async def open_runtime(settings: Settings, installation: str) -> Runtime:
    """Open the runtime of the settings. Raises RuntimeUnavailable saying what to do."""
    return (await choose_runtime(settings, installation)).runtime


async def choose_runtime(settings: Settings, installation: str) -> Choice:
    """Open docker or process as asked; auto is docker when its daemon answers in two seconds.

    Processes are not isolated, so auto takes them only where there are agents made for it.
    """
    match settings.runtime:
        case "docker":
            return await _opened(_docker(settings, installation), "as asked for")
        case "process":
            return await _opened(_process(settings, installation), "as asked for")
        case _:
            return await _found(settings, installation)


async def _found(settings: Settings, installation: str) -> Choice:
    try:
        return await _opened(_docker(settings, installation), "its daemon answers")
    except RuntimeUnavailable as error:
        if settings.agents is None:
            raise RuntimeUnavailable(
                f"{error}. Without Docker agents can be local processes, which nothing isolates: "
                "AGENTAINER_RUNTIME=process, and AGENTAINER_AGENTS for the folder of agents"
            ) from error
        return await _opened(_process(settings, installation), str(error))


async def _opened(runtime: Runtime, why: str) -> Choice:
    return Choice(runtime, f"{await runtime.open()} ({why})")


def _docker(settings: Settings, installation: str) -> Runtime:
    # Its library takes a tenth of a second and 10 MB, which most processes can do without.
    from .docker import DockerRuntime

    return DockerRuntime(
        installation, settings.home_path / "containers", result_limit=_limit(settings)
    )


def _process(settings: Settings, installation: str) -> Runtime:
    agents = settings.agents.expanduser() if settings.agents else Path("agents")
    return ProcessRuntime(
        installation, settings.home_path / "processes", agents, result_limit=_limit(settings)
    )


def _limit(settings: Settings) -> int:
    """A result that the log would refuse is better refused with the agent's outcome."""
    return min(RESULT_LIMIT, settings.payload_limit)
