"""`agentainer up --processes N`: keep N processes alive, each with all roles.

A child that dies is started again, later each time it dies early. Children have sessions of their
own, so that Ctrl-C reaches them once, from here; they stop by themselves when this process is gone.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

import anyio
import anyio.abc

from ..core.settings import Settings
from ..sdk.connections import connect
from ..sdk.loop import run_loop
from .output import say
from .serving import describe_runtime, load_all
from .session import prepare

#: Seconds before a child that died is started again: the first time, and at most.
FIRST, LONGEST = 0.5, 30.0
#: A child that lived this long (seconds) did not die of how it was started.
STEADY = 60.0

_PROGRAM = [sys.executable, "-c", "from agentainer_flow.cli.main import main; main()"]


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
    command = [*_PROGRAM, "up", "--supervised", *references]
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
    async with connect(settings) as log:
        await describe_runtime(log)
    children = [Child(number, command) for number, command in enumerate(commands, 1)]
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


class Child:
    """One process, started again whenever it ends by itself."""

    def __init__(self, number: int, command: list[str]) -> None:
        self._number = number
        self._command = command
        self._process: anyio.abc.Process | None = None
        self._stopping = anyio.Event()
        self.exit_code = 0

    async def live(self) -> None:
        delay = FIRST
        while not self._stopping.is_set():
            began = anyio.current_time()
            code = await self._run()
            if self._stopping.is_set():
                self.exit_code = _exit_code(code)
                return
            delay = FIRST if anyio.current_time() - began > STEADY else delay
            say(f"process {self._number} ended with {code}; starting it again in {delay} s")
            with anyio.move_on_after(delay):
                await self._stopping.wait()
            delay = min(delay * 2, LONGEST)

    async def _run(self) -> int:
        self._process = await anyio.open_process(
            self._command, stdin=subprocess.PIPE, stdout=None, stderr=None, start_new_session=True
        )
        say(f"process {self._number} has pid {self._process.pid}")
        if self._stopping.is_set():  # asked to stop while it was being started
            self.stop(signal.SIGTERM)
        async with self._process as process:
            return await process.wait()

    def stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)


def _exit_code(code: int) -> int:
    """As a shell tells it; our signal may have come before the child could handle it."""
    if code in (-signal.SIGTERM, -signal.SIGINT):
        return 0
    return code if code >= 0 else 128 - code
