"""A home, a Redis, and the processes that a test starts, kills and looks at from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from redis import Redis

from agentainer_flow.core.settings import Settings

PIPELINE = Path(__file__).with_name("slow_pipeline.py")
FLOWS = Path(__file__).with_name("role_flows.py")
PROGRAM = str(Path(sys.executable).with_name("agentainer"))

#: The agents of `SlowPipeline` with three chunks.
THREE = ["work-0-agent", "work-1-agent", "work-2-agent"]

Process = subprocess.Popen[str]


class Scene:
    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.traces = folder / "traces"
        self.redis: Redis = Redis.from_url(settings.redis_url or "", decode_responses=True)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AGENTAINER_")},
            "AGENTAINER_REDIS_URL": settings.redis_url or "",
            "AGENTAINER_HOME": str(folder / "home"),
            "AGENTAINER_RUNTIME": "process",
            "AGENTAINER_LEASE": "1",
            "AGENTAINER_GRACE": "1",
            "AGENTAINER_LOG_LEVEL": "info",
            "TRACES": str(self.traces),
        }
        self.partitions = 0
        self.divide(1)
        self.processes: list[Process] = []

    def divide(self, partitions: int) -> None:
        """Have so many partitions; nothing may run yet."""
        self.environment["AGENTAINER_PARTITIONS"] = str(partitions)
        for number in range(self.partitions, partitions):
            # Posted to from its first reader on.
            self.redis.xgroup_create(f"flow:{number}:feed", "scene", mkstream=True)
        self.partitions = partitions

    def start(self, *command: str) -> Process:
        with self._err(len(self.processes)).open("w") as err:
            process = subprocess.Popen(
                command, env=self.environment, stdout=subprocess.PIPE, stderr=err, text=True
            )
        self.processes.append(process)
        return process

    def _err(self, number: int) -> Path:
        return self.folder / f"{number}.err"

    def said(self, process: Process) -> str:
        """What a process wrote on stderr."""
        return self._err(self.processes.index(process)).read_text()

    def run(self) -> Process:
        return self.start(sys.executable, str(PIPELINE))

    def up(self) -> Process:
        return self.serve("up", f"{PIPELINE}:SlowPipeline")

    def serve(self, *arguments: str) -> Process:
        return self.start(PROGRAM, *arguments)

    def tell(self, *arguments: str) -> Any:
        """What a command answers; it has to succeed."""
        return json.loads(self.ask(*arguments))

    def ask(self, *arguments: str, code: int = 0) -> str:
        """What a command prints; it has to end with this code."""
        command = [PROGRAM, *arguments, "--json"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == code, done.stderr or done.stdout
        return done.stdout

    def begin(self, reference: str, **inputs: object) -> str:
        """Start a workflow for whoever serves it; its id."""
        options = [text for name, value in inputs.items() for text in ("-i", f"{name}={value}")]
        return str(self.tell("workflow", "start", reference, *options)["id"])

    def launched(self) -> list[str]:
        return sorted(self.traces.read_text().split()) if self.traces.exists() else []

    def let_agents_end(self) -> None:
        Path(f"{self.traces}.go").touch()

    def workflow(self) -> str:
        (name,) = self._in_all(lambda number: self.redis.zrange(f"flow:{number}:workflows", 0, -1))
        return str(name)

    def log(self, workflow: str = "") -> list[tuple[str, dict[str, str]]]:
        entries: Any = self.redis.xrange(f"workflow:{workflow or self.workflow()}:events")
        return list(entries)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of a type: their data, and who wrote them as `by`."""
        entries = [fields for _, fields in self.log() if fields["type"] == kind]
        return [{**json.loads(fields["data"]), "by": fields["by"]} for fields in entries]

    def types(self, workflow: str = "") -> list[str]:
        return [fields["type"] for _, fields in self.log(workflow)]

    def is_completed(self, workflow: str = "") -> bool:
        return self.types(workflow)[-1] == "workflow.completed"

    def feed(self) -> Iterator[tuple[str, str]]:
        """(workflow, event type) of all workflows, in each partition as it happened."""
        for _, fields in self._in_all(lambda number: self.redis.xrange(f"flow:{number}:feed")):
            for kind, *_ in json.loads(fields["e"]):
                yield fields["w"], kind

    def sessions(self, role: str) -> list[str]:
        found = self._in_all(lambda number: self.redis.zrange(f"flow:{number}:sessions", 0, -1))
        return sorted({name for name in found if name.startswith(f"{role}@")})

    def owners(self) -> dict[int, int]:
        """Pid of the process that owns the lane, by partition."""
        found: dict[int, int] = {}
        for number in range(self.partitions):
            owner: Any = self.redis.hget(f"flow:{number}:owners", "shared")
            _, _, token = (owner or "0 ").partition(" ")
            if token:
                found[number] = int(token.split(":")[1])
        return found

    def _in_all(self, read: Callable[[int], Any]) -> list[Any]:
        return [one for number in range(self.partitions) for one in read(number)]

    def close(self) -> None:
        self.let_agents_end()
        for process in self.processes:
            process.kill()
            process.communicate()
        self.redis.close()


def kill(process: Process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def stop(process: Process) -> int:
    """Ask it to stop; its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=30)


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
