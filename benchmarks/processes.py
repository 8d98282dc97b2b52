"""Processes of the installed package, as a user starts them; none outlives the benchmark."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from .errors import ProcessDied

PROGRAM = str(Path(sys.executable).with_name("agentainer"))
READY = "ready; Ctrl-C stops"
READY_S = 30.0
STOP_S = 15.0
POLL_S = 0.01
_PR_SET_PDEATHSIG = 1


class Process:
    """One process with its output in a file; killed when its `with` block ends."""

    def __init__(self, command: list[str], environment: Mapping[str, str], output: Path) -> None:
        self.command = command
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises ProcessDied when it does not run."""
        if (code := self._process.poll()) is not None:
            raise ProcessDied(f"{' '.join(self.command)} ended with {code}: {self._said()}")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while READY not in self._output.read_text(errors="replace"):
            self.check()
            if time.monotonic() > deadline:
                raise ProcessDied(f"{' '.join(self.command)} is not ready: {self._said()}")
            time.sleep(POLL_S)

    def peak_memory_mb(self) -> float:
        """The most memory it had at a time, MB of 10^6 bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak) * 1024 / 1e6

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(STOP_S)

    def wait(self, timeout_s: float) -> None:
        """Wait for its good end. Raises ProcessDied when it ends badly or not in time."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessDied(f"{' '.join(self.command)} runs on: {self._said()}") from None
        if code:
            raise ProcessDied(f"{' '.join(self.command)} ended with {code}: {self._said()}")

    def _said(self) -> str:
        return self._output.read_text(errors="replace")[-2000:].strip()


def _die_with_parent() -> None:
    """Also when the benchmark itself is killed with -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
