"""A Redis of the benchmark's own, set as the embedded one is but for `appendfsync`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agentainer_flow.core.errors import EmbeddedRedisError
from agentainer_flow.core.redis_program import Program, find_programs

from .processes import Process

START_S = 10.0
POLL_S = 0.02


@dataclass(frozen=True)
class Server:
    """A running Redis, and a client for looking at it from outside."""

    program: Program
    fsync: str
    pid: int
    url: str
    client: redis.Redis

    def used_memory_bytes(self) -> int:
        info: Any = self.client.info("memory")
        return int(info["used_memory"])

    def empty(self) -> None:
        """Delete everything, and make the append-only file small again."""
        self.client.flushall()
        self.client.bgrewriteaof()
        while self._is_rewriting():
            time.sleep(POLL_S)

    def _is_rewriting(self) -> bool:
        info: Any = self.client.info("persistence")
        return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


@contextmanager
def redis_server(fsync: str) -> Generator[Server]:
    """Run the newest server program of this machine. Raises EmbeddedRedisError."""
    program = max(find_programs(), key=lambda program: program.version, default=None)
    if program is None:
        raise EmbeddedRedisError("no redis-server or valkey-server was found")
    # Not in a folder of somebody's choice: the path of a unix socket is short.
    with tempfile.TemporaryDirectory(prefix="agentainer-bench-") as name:
        folder = Path(name)
        url = f"unix://{folder}/redis.sock"
        client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        with client, Process(_command(program, folder, fsync), {}, folder / "redis.out") as process:
            _wait_for(client, process)
            yield Server(program, fsync, process.pid, url, client)


def _command(program: Program, folder: Path, fsync: str) -> list[str]:
    options = {
        "dir": str(folder),
        "port": "0",
        "unixsocket": f"{folder}/redis.sock",
        "appendonly": "yes",
        "appendfsync": fsync,
        # Between repetitions, never in one.
        "auto-aof-rewrite-percentage": "0",
        "save": "",
        "maxmemory-policy": "noeviction",
        "stream-node-max-bytes": "1024",
        "hash-max-ziplist-entries": "64",
    }
    return [program.path, *(part for name in options for part in (f"--{name}", options[name]))]


def _wait_for(client: redis.Redis, process: Process) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            process.check()
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
