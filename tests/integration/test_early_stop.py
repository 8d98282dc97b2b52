"""A process that is told to stop while it starts ends soon, whether Redis is there or not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from agentainer_flow.core import embedded
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.connections import connect

from .command import FLOWS, PROGRAM, Background, Command
from .lossy import Lossy, lossy_way
from .mortal import mortal_redis
from .polling import until

pytestmark = pytest.mark.anyio

#: Longest time that an end may take, seconds: less than a process waits that has something to give
#: back. The second is for one that may have just been forked.
SOON, LATE = 5.0, 20.0

WORKER = ["worker", str(FLOWS)]
TRACER = ["reactors", "--only", "tracer"]
#: Commands, and what they ask while they start: where they are then.
MOMENTS = [
    (["reactors"], b"flow:partitions"),
    (["reactors"], b"shared:bell"),
    (["reactors"], b"_renew"),
    (WORKER, b"HSETNX"),
    (WORKER, b"shared:bell"),
    (WORKER, b"_renew"),
    (["launcher"], b"flow:installation"),
    (TRACER, b"_turn_tracer"),
    (["serve", "--port", "0"], b"flow:partitions"),
]


class Way:
    """A process with a way to a Redis of its own; something happens when it asks for something."""

    def __init__(self, lossy: Lossy, server: Settings, cli: Command) -> None:
        self.server = server
        self.cli = cli
        self._lossy = lossy
        cli.environment |= {
            "AGENTAINER_LEASE": "600",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        }

    async def when_asked(self, text: bytes, act: Callable[[], None]) -> None:
        """Return when it has been asked for, and the act is done."""
        done = anyio.Event()

        def hear(asked: bytes) -> None:
            if text in asked and not done.is_set():
                act()
                done.set()

        self._lossy.hear = hear
        with anyio.fail_after(30):
            await done.wait()

    def kill_redis(self) -> None:
        pid = embedded.status(self.server).pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        self._lossy.down = True
        self._lossy.cut()


@pytest.fixture
async def way(tmp_path: Path) -> AsyncGenerator[Way, None]:
    with mortal_redis() as server:
        async with lossy_way(server.redis_url or "") as (lossy, url):
            cli = Command(msgspec.structs.replace(server, redis_url=url), tmp_path)
            try:
                yield Way(lossy, server, cli)
            finally:
                cli.close()


async def assert_ends_soon(process: Background) -> None:
    with anyio.fail_after(SOON):
        await until(lambda: process.process.poll() is not None)
    assert process.process.returncode == 0
    assert "Traceback" not in process.err


@pytest.mark.parametrize(("command", "asked"), MOMENTS)
async def test_it_ends_without_redis(way: Way, command: list[str], asked: bytes) -> None:
    starting = way.cli.begin(*command)
    await way.when_asked(asked, way.kill_redis)

    starting.signal(signal.SIGTERM)

    await assert_ends_soon(starting)


@pytest.mark.parametrize("command", [["reactors"], WORKER])
@pytest.mark.parametrize("asked", [b"shared:bell", b"_renew"])
async def test_it_hands_back_what_it_has(way: Way, command: list[str], asked: bytes) -> None:
    starting = way.cli.begin(*command)
    await way.when_asked(asked, lambda: starting.signal(signal.SIGTERM))

    await assert_ends_soon(starting)

    async with connect(way.server) as log:
        redis: Any = log.redis
        assert await redis.zrange("flow:0:sessions", 0, -1) == []
        assert (await redis.hget("flow:0:owners", "shared") or b"0 ") == b"0 "


async def test_it_ends_with_its_supervisor(way: Way) -> None:
    command = [str(PROGRAM), "up", str(FLOWS), "--processes", "2"]
    environment = way.cli.environment
    async with await anyio.open_process(
        command, env=environment, stderr=subprocess.DEVNULL
    ) as supervisor:
        await way.when_asked(b"shared:bell", way.kill_redis)

        supervisor.kill()

        assert supervisor.stdout  # has an end when its children have ended, too
        with anyio.fail_after(LATE), pytest.raises(anyio.EndOfStream):
            await supervisor.stdout.receive()
