"""A way to the Docker daemon that can be cut."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import SocketStream

DAEMON = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Proxy:
    """Passes connections on to the daemon, until `cut` or while `down`."""

    def __init__(self) -> None:
        self.down = False
        self._open: set[SocketStream] = set()

    async def cut(self) -> None:
        for stream in list(self._open):
            await stream.aclose()

    async def handle(self, client: SocketStream) -> None:
        if self.down:
            return await client.aclose()
        async with client, await anyio.connect_unix(DAEMON) as daemon:
            self._open |= {client, daemon}
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_pass_on, client, daemon)
                await _pass_on(daemon, client)
                tasks.cancel_scope.cancel()
            self._open -= {client, daemon}


async def _pass_on(source: SocketStream, target: SocketStream) -> None:
    with suppress(*_ENDS):
        while True:
            await target.send(await source.receive())


@asynccontextmanager
async def proxied(path: Path) -> AsyncGenerator[Proxy, None]:
    """Listen at a unix socket."""
    proxy = Proxy()
    listener = await anyio.create_unix_listener(path)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.handle)
        yield proxy
        tasks.cancel_scope.cancel()
