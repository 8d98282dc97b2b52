"""A primary and a replica of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import redis

from agentainer_flow.core.redis_program import find_programs


class Server:
    """A Redis on a unix socket and, for its replica, a port of its own choice."""

    def __init__(self, program: str, directory: Path, *options: str) -> None:
        self.url = f"unix://{directory}/redis.sock"
        command = [program, "--unixsocket", f"{directory}/redis.sock", "--dir", str(directory)]
        self.process = subprocess.Popen(
            [*command, "--save", "", *options], stdout=subprocess.DEVNULL
        )
        self.client = redis.Redis.from_url(self.url)

    def until_ready(self) -> Server:
        until(lambda: self.client.ping())
        return self

    def promote(self) -> None:
        """Be a primary: what its former one still takes does not come here."""
        self.client.replicaof("NO", "ONE")

    def close(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()


def until(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (redis.ConnectionError, redis.BusyLoadingError):
            pass
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@contextmanager
def replicated() -> Generator[tuple[Server, Server]]:
    """A primary, and a replica that has what it has."""
    program = max(find_programs(), key=lambda found: found.version).path
    port = str(20_000 + os.getpid() % 20_000)
    folders = [Path(tempfile.mkdtemp(prefix="agentainer-test-")) for _ in range(2)]
    primary = Server(program, folders[0], "--bind", "127.0.0.1", "--port", port).until_ready()
    replica = Server(program, folders[1], "--port", "0", "--replicaof", "127.0.0.1", port)
    try:
        replica.until_ready()
        until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        yield primary, replica
    finally:
        replica.process.send_signal(signal.SIGCONT)
        replica.close()
        primary.close()
        for folder in folders:
            shutil.rmtree(folder)
