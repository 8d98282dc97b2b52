"""A recorded process with its group, told apart from a later one with the same number."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec

_GONE = (FileNotFoundError, ProcessLookupError)


class ProcessGroup(msgspec.Struct, frozen=True):
    """The leader of a group: its number and its time of birth in clock ticks since boot."""

    pid: int
    birth: int
    #: Wall clock, seconds.
    started_at: float

    def running(self) -> bool:
        """Tell whether the leader lives; bury it when it is a dead child of ours."""
        state = _state(self.pid)
        if state is None or state[1] != self.birth:
            return False
        if state[0] in "ZX":
            with suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            return False
        return True

    async def ended(self, timeout_s: float | None) -> bool:
        """Wait for the end of the leader, no longer than that. Tell whether it came."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            with anyio.move_on_after(timeout_s):
                if self.running():
                    await anyio.wait_readable(handle)
        finally:
            os.close(handle)
        return not self.running()

    def terminate(self) -> None:
        if self.running():
            self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the whole group, also when its leader is dead, unless the number is another's."""
        state = _state(self.pid)
        if state is None or state[1] == self.birth:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def read_group(record: Path) -> ProcessGroup | None:
    """Read a record, the line of /proc/<pid>/stat that the process itself wrote at its start."""
    try:
        line, written = record.read_text(), record.stat().st_mtime
    except FileNotFoundError:
        return None
    if not line.endswith("\n"):
        return None
    return ProcessGroup(int(line.split(maxsplit=1)[0]), _fields(line)[1], written)


def _state(pid: int) -> tuple[str, int] | None:
    try:
        return _fields(Path(f"/proc/{pid}/stat").read_text())
    except _GONE:
        return None


def _fields(line: str) -> tuple[str, int]:
    """Fields 3 (state) and 22 (start time) of proc(5); the name before them may hold anything."""
    fields = line.rpartition(")")[2].split()
    return fields[0], int(fields[19])
