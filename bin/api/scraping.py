"""Answer scrapes of Prometheus where there is no API."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import anyio.abc
import uvicorn

from ..sdk.metrics import Meter
from .exposition import expose
from .server import FAREWELL, QuietServer

Message = MutableMapping[str, Any]


class Scraped:
    """The ASGI application that only answers scrapes."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        status, body, media_type = await self._answer(scope)
        headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    async def _answer(self, scope: MutableMapping[str, Any]) -> tuple[int, bytes, str]:
        if scope["path"] != "/metrics":
            return 404, b"metrics are at /metrics\n", "text/plain; charset=utf-8"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, b"only GET\n", "text/plain; charset=utf-8"
        accept = dict[bytes, bytes](scope["headers"]).get(b"accept", b"")
        return 200, *expose(await self._meter.samples(), accept.decode("latin-1"))


async def serve_metrics(
    meter: Meter,
    sock: socket.socket,
    stop: anyio.Event,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer scrapes until `stop`."""
    config = uvicorn.Config(
        Scraped(meter),
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=FAREWELL,
        ws="none",
    )
    server = QuietServer(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    with sock:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            sock.listen(128)
            task_status.started()
            await server.serve([sock])
            tasks.cancel_scope.cancel()
