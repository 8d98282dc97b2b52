"""The Redis of a run: what it acknowledges is on disk before, so it may die at any time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agentainer_flow.core.redis_program import find_programs

from .own import own

#: As those of the embedded Redis.
OPTIONS = {
    "port": "0",
    "appendonly": "yes",
    "appendfsync": "always",
    "auto-aof-rewrite-min-size": "16mb",
    "auto-aof-rewrite-percentage": "50",
    "save": "",
    "maxmemory-policy": "noeviction",
    "stream-node-max-bytes": "1024",
    "hash-max-ziplist-entries": "64",
}
PATIENCE = 30.0


class Server:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = max(find_programs(), key=lambda program: program.version)
        self.socket = str(folder / "redis.sock")
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return str(self._program)

    def start(self) -> None:
        """Start it; it answers some time later."""
        options = {**OPTIONS, "dir": str(self._folder), "unixsocket": self.socket}
        command = [self._program.path]
        command += [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(own(command), stdout=log, stderr=log)

    async def wait_ready(self) -> None:
        """Raises TimeoutError."""
        with self.client() as client, anyio.fail_after(PATIENCE):
            while not _answers(client):  # noqa: ASYNC110 it cannot tell before
                await anyio.sleep(0.005)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        """A way to look at it that no fault is in."""
        return redis.Redis.from_url(
            self.url, retry=Retry(NoBackoff(), 0), socket_timeout=5, decode_responses=True
        )


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):  # also while it loads
        return False
