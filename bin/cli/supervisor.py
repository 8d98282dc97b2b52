"""`agentainer up --processes N`: keep N processes alive, each with all roles."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import anyio
import anyio.abc

from ..core.settings import Settings
from ..sdk.connections import connect
from ..sdk.loop import run_loop
from .children import PROGRAM, Child
from .serving import REDIS_COMES, describe_runtime, load_all, tracing_children
from .session import prepare


def supervise(
    references: Sequence[str],
    *,
    processes: int,
    slots: int | None,
    agent_slots: int | None,
    agent_memory: int | None,
    metrics_port: int | None = None,
) -> None:
    settings = prepare(slots=slots, agent_slots=agent_slots, agent_memory=agent_memory)
    load_all(references)
    command = [*PROGRAM, "up", "--supervised", *references]
    options = {"--slots": slots, "--agent-slots": agent_slots, "--memory": agent_memory}
    for option, value in options.items():
        command += [option, str(value)] if value else []
    code = run_loop(lambda: _run(settings, commands_of(command, processes, metrics_port)))
    sys.exit(code)


def commands_of(command: list[str], processes: int, metrics_port: int | None) -> list[list[str]]:
    """One command for each process, whose ports of metrics count up (0: any that is free)."""
    if metrics_port is None:
        return [command] * processes
    step = 1 if metrics_port else 0
    ports = [metrics_port + step * number for number in range(processes)]
    return [[*command, "--metrics-port", str(port)] for port in ports]


async def _run(settings: Settings, commands: list[list[str]]) -> int:
    """Keep the children until a signal; the exit code."""
    async with connect(settings, patience=REDIS_COMES) as log:
        await describe_runtime(log)
    children = [Child(f"process {number}", one) for number, one in enumerate(commands, 1)]
    children += tracing_children()
    async with anyio.create_task_group() as tasks:
        listening = await tasks.start(_listen, children)
        async with anyio.create_task_group() as lives:
            for child in children:
                lives.start_soon(child.live)
        listening.cancel()
    return max(child.exit_code for child in children)


async def _listen(
    children: list[Child],
    *,
    task_status: anyio.abc.TaskStatus[anyio.CancelScope] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with (
        anyio.CancelScope() as scope,
        anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        task_status.started(scope)
        async for number in signals:
            for child in children:
                child.stop(number)
