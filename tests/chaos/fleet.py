"""The processes of a run: real ones of the installed command, each on its own way to Redis."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .own import own
from .proxy import Proxy

PROGRAM = str(Path(sys.executable).with_name("agentainer"))
READY = "ready; Ctrl-C stops"
#: A process that ended by itself is started again after this time, seconds: Redis was away.
PAUSE = 0.5


class Life:
    """One incarnation of a process. Times are ms of this machine's clock."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self.begun_ms = now_ms()
        self.ready_ms: float | None = None
        self.ended_ms: float | None = None
        #: Its exit code when nobody had killed it.
        self.ended_with: int | None = None

    def text(self) -> str:
        return self.log.read_text(errors="replace")


class Member:
    """One process and those that follow it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        proxy: Proxy,
        logs: Path,
    ) -> None:
        self.name = name
        self.kind = name.partition("-")[0]
        self.proxy = proxy
        self._command = own([PROGRAM, *command])
        self._environment = dict(environment)
        self._logs = logs
        self._process: subprocess.Popen[bytes] | None = None
        self.lives: list[Life] = []
        self.frozen = False
        self._due = 0.0
        self._stopping = False

    @property
    def pid(self) -> int:
        """0 while it is away."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        log = self._logs / f"{self.name}.{len(self.lives)}.err"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.lives.append(Life(self._process.pid, log))

    def kill(self, away_s: float) -> bool:
        """SIGKILL; it comes back after a time. False when it is away already."""
        if self._process is None:
            return False
        self._process.kill()
        self._process.wait()
        self._end(away_s)
        return True

    def freeze(self) -> bool:
        if self._process is None or self.frozen:
            return False
        self._process.send_signal(signal.SIGSTOP)
        self.frozen = True
        return True

    def thaw(self) -> None:
        if self._process and self.frozen:
            self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    def tend(self) -> None:
        """Note what it came to, and start it again when it is time."""
        if self._process is None:
            if time.monotonic() >= self._due and not self._stopping:
                self.start()
            return
        life = self.lives[-1]
        if life.ready_ms is None and READY in life.text():
            life.ready_ms = now_ms()
        code = self._process.poll()
        if code is not None and not self._stopping:
            life.ended_with = code
            self._end(PAUSE)

    def _end(self, away_s: float) -> None:
        self.lives[-1].ended_ms = now_ms()
        self._process = None
        self.frozen = False
        self._due = time.monotonic() + away_s

    def ask_to_stop(self) -> None:
        self._stopping = True
        self.thaw()
        if self._process:
            self._process.send_signal(signal.SIGTERM)

    def wait_stopped(self, seconds: float) -> int | None:
        """Its exit code; None when it had to be killed."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill(0)

    def is_ready(self) -> bool:
        return bool(self._process and self.lives[-1].ready_ms is not None)


class Fleet:
    """All members by name."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = {member.name: member for member in members}

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def tend(self) -> None:
        for member in self.members.values():
            member.tend()

    def all_ready(self) -> bool:
        self.tend()
        return all(member.is_ready() for member in self.members.values())

    def started_in_s(self) -> float:
        """How long half of the processes took from their start until they were ready."""
        took = [life.ready_ms - life.begun_ms for _, life in self.lives() if life.ready_ms]
        return statistics.median(took) / 1000 if took else 0.0

    def ask_to_stop(self) -> None:
        for member in self.members.values():
            member.ask_to_stop()

    def wait_stopped(self, seconds: float) -> dict[str, int | None]:
        """The exit codes; None of those that had to be killed. Blocks."""
        return {name: member.wait_stopped(seconds) for name, member in self.members.items()}

    def kill_all(self) -> None:
        for member in self.members.values():
            member.kill(0)

    def lives(self) -> list[tuple[Member, Life]]:
        return [(member, life) for member in self.members.values() for life in member.lives]


def now_ms() -> float:
    return time.time() * 1000


def environment(**given: str) -> dict[str, str]:
    """Ours without settings of the person who runs this, and what is given."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AGENTAINER_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # processes start often, and are to start fast
    return {**kept, **given}
