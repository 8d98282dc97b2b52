"""What `AGENTAINER_DURABILITY` promises, on a primary and a replica of the test's own."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import anyio
import pytest

from agentainer_flow.core.errors import RedisUnavailable, SettingsError
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings, load_settings

from .replicated import Server, replicated

pytestmark = pytest.mark.anyio


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    with replicated() as servers:
        yield servers


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
