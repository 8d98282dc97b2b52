"""What `AGENTAINER_DURABILITY` promises, on a primary and a replica of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import redis

from agentainer_flow.core.errors import RedisUnavailable, SettingsError
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.redis_program import find_programs
from agentainer_flow.core.settings import Settings, load_settings

pytestmark = pytest.mark.anyio


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


@pytest.fixture
def folders() -> Iterator[list[Path]]:
    made = [Path(tempfile.mkdtemp(prefix="agentainer-test-")) for _ in range(2)]
    yield made
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture
def servers(folders: list[Path]) -> Iterator[tuple[Server, Server]]:
    program = max(find_programs(), key=lambda found: found.version).path
    port = str(20_000 + os.getpid() % 20_000)
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


def settings_for(url: str, durability: str) -> Settings:
    return load_settings(environ={}, redis_url=url, durability=durability)


async def test_write_waits_until_the_replica_has_it(servers: tuple[Server, Server]) -> None:
    primary, replica = servers
    log = EventLog(settings_for(primary.url, "replicas:1"), primary.url)
    await log.open()
    await log.scripts.set_queue("q", limit=1, depth=0)
    assert replica.client.hget("flow:queues", "q:limit") == b"1"

    replica.process.send_signal(signal.SIGSTOP)
    with anyio.move_on_after(1.5) as scope:
        await log.scripts.set_queue("q", limit=2, depth=0)
    assert scope.cancelled_caught  # applied on the primary, and not acknowledged
    replica.process.send_signal(signal.SIGCONT)
    await log.scripts.set_queue("q", limit=2, depth=0)
    assert replica.client.hget("flow:queues", "q:limit") == b"2"
    await log.close()


async def test_fsync_refuses_a_server_that_syncs_less(servers: tuple[Server, Server]) -> None:
    primary, _ = servers
    log = EventLog(settings_for(primary.url, "fsync"), primary.url)

    with pytest.raises(RedisUnavailable, match="needs appendonly yes and appendfsync always"):
        await log.open()

    primary.client.config_set("appendonly", "yes")
    primary.client.config_set("appendfsync", "always")
    await log.open()
    await log.close()


@pytest.mark.parametrize("word", ["always", "replicas", "replicas:0", "replicas:x"])
async def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(SettingsError, match="durability must be redis, fsync or replicas:N"):
        load_settings(environ={}, durability=word)


@pytest.mark.parametrize(("option", "value"), [("maxmemory", 1), ("min-replicas-to-write", 2)])
async def test_call_waits_while_the_server_takes_no_writes(
    servers: tuple[Server, Server], option: str, value: int
) -> None:
    primary, _ = servers
    log = EventLog(settings_for(primary.url, "redis"), primary.url)
    primary.client.config_set(option, value)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: log.scripts.set_queue("q", limit=3, depth=0))
        await anyio.sleep(0.2)
        assert primary.client.hget("flow:queues", "q:limit") is None
        primary.client.config_set(option, 0)
    assert primary.client.hget("flow:queues", "q:limit") == b"3"
    await log.close()
