"""A process that serves waits at its start for a Redis that comes late, as after a reboot."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agentainer_flow.core.errors import RedisUnavailable
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.connections import connect

from .command import FLOWS, Background, Command
from .mortal import kill, mortal_redis, restart
from .polling import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[Settings]:
    with mortal_redis() as settings:
        yield settings


@pytest.fixture
def cli(server: Settings, tmp_path: Path) -> Iterator[Command]:
    command = Command(server, tmp_path)
    yield command
    command.close()


async def waits(process: Background) -> None:
    await until(lambda: "redis.away" in process.err)
    assert process.process.poll() is None


@pytest.mark.parametrize(
    "command",
    [["up", str(FLOWS)], ["up", str(FLOWS), "--processes", "1"], ["serve", "--port", "0"]],
)
async def test_it_waits_for_redis(server: Settings, cli: Command, command: list[str]) -> None:
    await kill(server)
    starting = cli.begin(*command)
    await waits(starting)

    await restart(server)

    await until(lambda: "redis.back" in starting.err and "ready" in starting.err)


async def test_it_ends_while_it_waits(server: Settings, cli: Command) -> None:
    await kill(server)
    starting = cli.begin("reactors")
    await waits(starting)

    starting.signal(signal.SIGTERM)

    await until(lambda: starting.process.poll() == 0)


async def test_patience_ends(server: Settings) -> None:
    await kill(server)

    with pytest.raises(RedisUnavailable, match="cannot be used"):
        async with connect(server, patience=0.1):
            pass


async def test_nothing_is_waited_for_that_waiting_does_not_cure(server: Settings) -> None:
    wrong = msgspec.structs.replace(
        server, redis_url=f"{server.redis_url}?username=nobody&password=wrong"
    )

    with pytest.raises(RedisUnavailable, match="invalid"):
        async with connect(wrong, patience=600):
            pass
