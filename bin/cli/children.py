"""Processes of ours that another one keeps alive.

A child that dies is started again, later each time it dies early. Children have sessions of their
own, so that Ctrl-C reaches them once, from their parent; they stop by themselves when that is gone.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import anyio
import anyio.abc

from .output import say

#: Seconds before a child that died is started again: the first time, and at most.
FIRST, LONGEST = 0.5, 30.0
#: A child that lived this long (seconds) did not die of how it was started.
STEADY = 60.0

#: Our command, to be followed by its arguments.
PROGRAM = [sys.executable, "-c", "from agentainer_flow.cli.main import main; main()"]


class Child:
    """One process, started again whenever it ends by itself."""

    def __init__(self, name: str, command: list[str]) -> None:
        self._name = name
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
            say(f"{self._name} ended with {code}; starting it again in {delay} s")
            with anyio.move_on_after(delay):
                await self._stopping.wait()
            delay = min(delay * 2, LONGEST)

    async def _run(self) -> int:
        self._process = await anyio.open_process(
            self._command, stdin=subprocess.PIPE, stdout=None, stderr=None, start_new_session=True
        )
        say(f"{self._name} has pid {self._process.pid}")
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
