"""Listen: uvicorn within our own event loop, which ends within a second when it is asked to."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Generator

import anyio
import anyio.abc
import uvicorn

from ..core.errors import FlowError
from ..core.log import EventLog
from ..core.tokens import list_tokens
from .api import Api
from .app import make_app

#: Seconds that requests have to end when the server stops; streams are ended at once.
FAREWELL = 1


class CannotListen(FlowError):
    """Raised when the address cannot be listened on, or must not be without tokens."""


class QuietServer(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A socket on that address; port 0 takes any that is free. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, asyncio does not let the kernel hold small answers back.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return sock


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def needs_tokens(log: EventLog, sock: socket.socket) -> bool:
    """Whether callers need a token there.

    Raises CannotListen, and closes the socket, when others could call and there is none.
    """
    host = sock.getsockname()[0]
    if is_loopback(host):
        return log.settings.api_auth == "on"
    if await list_tokens(log):
        return True
    sock.close()
    raise CannotListen(
        f"others can reach {host}, and there is no token that they would need. Make one: "
        "agentainer token create NAME --scope write. Or listen on 127.0.0.1"
    )


async def serve(
    api: Api,
    sock: socket.socket,
    stop: anyio.Event,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop`. Started once requests are answered."""
    config = uvicorn.Config(
        make_app(api),
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=FAREWELL,
        ws="none",
    )
    server = QuietServer(config)
    with sock:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(api.run)
            tasks.start_soon(_end, api, server, stop)
            sock.listen(2048)
            task_status.started()
            await server.serve([sock])
            tasks.cancel_scope.cancel()


async def _end(api: Api, server: uvicorn.Server, stop: anyio.Event) -> None:
    await stop.wait()
    api.close()
    server.should_exit = True
