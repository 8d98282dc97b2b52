"""The `agentainer` command as a process, as users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from agentainer_flow.core.settings import Settings

from ..nursery import Child, spawn

FLOWS = Path(__file__).with_name("cli_flows.py")
PROGRAM = Path(sys.executable).with_name("agentainer")
PATIENCE = 30.0

Done = subprocess.CompletedProcess[str]


class Command:
    """Run it to its end by calling, or in the background with `begin`."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.gate = folder / "gate"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AGENTAINER_")},
            "AGENTAINER_REDIS_URL": settings.redis_url or "",
            "AGENTAINER_HOME": str(folder / "home"),
            "AGENTAINER_RUNTIME": "process",
            "AGENTAINER_LEASE": "2",
            "AGENTAINER_GRACE": "1",
            "COLUMNS": "200",
        }
        self._running: list[Background] = []

    def __call__(self, *arguments: str, **environment: str) -> Done:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = self.spawn(arguments, out, err, **environment)
            try:
                code = child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
            said = [file.read() for file in (out, err) if file.seek(0) == 0]
        return Done([str(PROGRAM), *arguments], code, *said)

    def ask(self, *arguments: str) -> Any:
        """What the command says with --json; it has to succeed."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run(self, flow: str, *arguments: str) -> Done:
        return self("workflow", "run", f"{FLOWS}:{flow}", *arguments)

    def start(self, flow: str, *arguments: str) -> str:
        found: dict[str, str] = self.ask("workflow", "start", f"{FLOWS}:{flow}", *arguments)
        return found["id"]

    def begin(self, *arguments: str) -> Background:
        background = Background(arguments, self)
        self._running.append(background)
        return background

    def spawn(
        self, arguments: Sequence[str], out: IO[str], err: IO[str], **environment: str
    ) -> Child:
        return spawn(
            arguments,
            cwd=self.folder,
            env={**self.environment, **environment},
            out=out.fileno(),
            err=err.fileno(),
        )

    def up(self) -> Background:
        serving = self.begin("up", str(FLOWS))
        serving.wait_for("ready", "err")
        return serving

    def status(self, workflow: str = "last") -> str:
        found: dict[str, str] = self.ask("workflow", "status", workflow)
        return found["status"]

    def wait_for_status(self, status: str) -> None:
        eventually(lambda: self.status() == status)

    def close(self) -> None:
        self.gate.touch()
        for background in self._running:
            background.close()


class Background:
    """A command that runs, its output in files."""

    def __init__(self, arguments: Sequence[str], owner: Command) -> None:
        number = len(list(owner.folder.glob("*.out")))
        self._files = {name: owner.folder / f"{number}.{name}" for name in ("out", "err")}
        with self._files["out"].open("w") as out, self._files["err"].open("w") as err:
            self.process = owner.spawn(arguments, out, err)

    @property
    def out(self) -> str:
        return self._files["out"].read_text()

    @property
    def err(self) -> str:
        return self._files["err"].read_text()

    def wait_for(self, text: str, name: str = "out") -> None:
        eventually(lambda: text in self._files[name].read_text())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.end()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
