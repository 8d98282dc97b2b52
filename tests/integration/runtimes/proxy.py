"""A way to the Docker daemon that can be cut."""

from __future__ import annotations

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

DAEMON = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


class Proxy:
    """Passes connections on to the daemon, until `cut` or while `down`."""

    def __init__(self) -> None:
        self.down = False
        #: Connections turned away.
        self.refused = 0
        self._open: set[StreamWriter] = set()

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self.down:
            self.refused += 1
            return writer.transport.abort()
        answers, daemon = await asyncio.open_unix_connection(DAEMON)
        self._open |= {writer, daemon}
        await asyncio.gather(_pass_on(reader, daemon), _pass_on(answers, writer))
        self._open -= {writer, daemon}


async def _pass_on(reader: StreamReader, writer: StreamWriter) -> None:
    """Pass on until the end of one side, which ends the other."""
    try:
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxied(path: Path) -> AsyncGenerator[Proxy, None]:
    """Listen at a unix socket."""
    proxy = Proxy()
    server = await asyncio.start_unix_server(proxy.handle, path)
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
