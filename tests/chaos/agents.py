"""The agents of a run as its host sees them: how often each really began, and a way to kill one."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import docker
from docker.errors import DockerException

from .flows import IMAGE
from .own import own

PATIENCE = 30.0
JOB = ("agentainer.workflow", "agentainer.job")


class Agents(Protocol):
    """What a run asks of the host of its agents."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the processes of the run get to know."""
        ...

    def kill_one(self, number: int) -> str:
        """SIGKILL for one of those that run; its name, empty when none does."""
        ...

    def kill_daemon(self) -> bool:
        """Whether there was one to kill."""
        ...

    def start_daemon(self) -> None:
        """It answers some time later."""
        ...

    def wait_ready(self) -> None:
        """Blocks until the daemon answers. Raises RuntimeError."""
        ...

    def begun(self) -> Counter[tuple[str, str]]:
        """How often each (workflow, job) began."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class LocalAgents:
    """Local processes, which note their start themselves."""

    def __init__(self, folder: Path) -> None:
        self._starts = folder / "starts"
        self._starts.touch()
        self._work = folder / "home" / "processes"
        self.environment = {"STARTS": str(self._starts), "AGENTAINER_RUNTIME": "process"}

    def kill_one(self, number: int) -> str:
        running = sorted(self._work.glob("*/process"))
        if not running:
            return ""
        chosen = running[number % len(running)]
        return chosen.parent.name if _kill_group(chosen) else ""

    def kill_daemon(self) -> bool:
        return False

    def start_daemon(self) -> None:
        """There is none."""

    def wait_ready(self) -> None:
        """There is nothing to wait for."""

    def begun(self) -> Counter[tuple[str, str]]:
        pairs = (line.split() for line in self._starts.read_text().splitlines())
        return Counter((workflow, job) for workflow, job in pairs)

    def close(self) -> None:
        for record in self._work.glob("*/process"):
            _kill_group(record)


def _kill_group(record: Path) -> bool:
    try:
        pid = int(record.read_text().split(maxsplit=1)[0])
        os.killpg(pid, signal.SIGKILL)
    except (FileNotFoundError, IndexError, ProcessLookupError):  # it ended meanwhile
        return False
    return True


class DockerAgents:
    """Containers of a daemon of our own, which can be killed."""

    def __init__(self, folder: Path) -> None:
        # Not below the folder of the run: paths of unix sockets are short.
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-docker-"))
        self._log = folder / "dockerd.log"
        self.host = f"unix://{self._folder}/docker.sock"
        self.environment = {"DOCKER_HOST": self.host, "AGENTAINER_RUNTIME": "docker"}
        self._daemon: subprocess.Popen[bytes] | None = None
        self._begun: Counter[tuple[str, str]] = Counter()
        self._seen: set[str] = set()
        self._closing = threading.Event()
        self.start_daemon()
        self.wait_ready()
        self._client: Any = docker.DockerClient(base_url=self.host, timeout=60)
        self._import_image()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start_daemon(self) -> None:
        folder = self._folder
        for file in (folder / "pid", folder / "exec" / "containerd" / "containerd.pid"):
            # The process may be dead and still there, when nobody has asked how it ended.
            file.unlink(missing_ok=True)
        command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
        command += ["--pidfile", f"{folder}/pid", "--host", self.host]
        command += ["--iptables=false", "--bridge=none"]
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(own(command), stdout=log, stderr=log)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"dockerd does not start, see {self._log}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            client: Any = docker.DockerClient(base_url=self.host, timeout=2)
            client.ping()
            client.close()
        except (DockerException, OSError):
            return False
        return True

    def _import_image(self) -> None:
        """An image of busybox alone, which needs no registry."""
        busybox = Path(shutil.which("busybox") or "/bin/busybox")
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.add(busybox.resolve(), "bin/busybox")
            for name in ("sh", "sleep", "echo", "mv"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        self._client.api.import_image_from_data(layer.getvalue(), repository=IMAGE, tag="latest")

    def _listen(self) -> None:
        """Count starts of containers; what is missed while the daemon is away, starts nothing."""
        while not self._closing.is_set():
            with suppress(DockerException, OSError, ValueError):
                since = int(time.time()) - 1
                for event in self._client.api.events(
                    since=since, decode=True, filters={"type": "container", "event": "start"}
                ):
                    self._note(event)
            self._closing.wait(0.05)

    def _note(self, event: dict[str, Any]) -> None:
        told = f"{event['id']} {event['timeNano']}"
        if told not in self._seen:
            self._seen.add(told)
            attributes = event["Actor"]["Attributes"]
            self._begun[(attributes[JOB[0]], attributes[JOB[1]])] += 1

    def kill_one(self, number: int) -> str:
        with suppress(DockerException, OSError):
            running = self._client.containers.list(filters={"label": JOB[1]})
            if running:
                chosen = running[number % len(running)]
                chosen.kill()
                return str(chosen.name)
        return ""

    def kill_daemon(self) -> bool:
        if self._daemon:
            self._daemon.kill()
            self._daemon.wait()
        return True

    def begun(self) -> Counter[tuple[str, str]]:
        return Counter(self._begun)

    def close(self) -> None:
        self._closing.set()
        with suppress(DockerException, OSError):
            for container in self._client.containers.list(all=True):
                container.remove(force=True)
        self._client.close()
        if self._daemon:
            self._daemon.terminate()
            self._daemon.wait()
        self._kill_shims()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kill_shims(self) -> None:
        """A daemon that was killed leaves processes that its successors know nothing of."""
        socket = f"{self._folder}/exec/containerd/containerd.sock".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, ProcessLookupError):
                if socket in (process / "cmdline").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
