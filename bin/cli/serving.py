"""`agentainer up`, `reactors`, `worker` and `launcher`: serve in this process until a signal."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence

import anyio
import anyio.abc
import msgspec

from ..core.connection import redact
from ..core.errors import RuntimeUnavailable
from ..core.log import EventLog
from ..core.settings import Settings
from ..reactors.runtimes.choose import choose_runtime
from ..sdk.connections import connect
from ..sdk.containers import container_code
from ..sdk.creation import register_codes
from ..sdk.graph import WorkflowCode
from ..sdk.hooks import serve_hooks
from ..sdk.loop import run_loop
from ..sdk.metrics import Meter
from ..sdk.otlp_metrics import Exporter, is_wanted, make_exporter, send_metrics
from ..sdk.registry import load
from ..sdk.service import REACTORS, ROLES, Service
from .output import say
from .session import prepare

#: Host and port of the HTTP API.
Address = tuple[str, int]
#: Where metrics are served that have no API beside them, and no tokens.
LOOPBACK = "127.0.0.1"


def serve(
    roles: Collection[str],
    references: Sequence[str] = (),
    *,
    slots: int | None = None,
    agent_slots: int | None = None,
    agent_memory: int | None = None,
    address: Address | None = None,
    metrics_port: int | None = None,
    supervised: bool = False,
) -> None:
    """Have these roles, and an API at the address, in this process until SIGINT or SIGTERM."""
    settings = prepare(slots=slots, agent_slots=agent_slots, agent_memory=agent_memory)
    codes = load_all(references)

    async def main(stop: anyio.Event) -> None:
        async with anyio.create_task_group() as tasks:
            if supervised:
                tasks.start_soon(_stop_with_parent, stop)
            await run_roles(settings, codes, roles, stop, address, metrics_port)
            tasks.cancel_scope.cancel()

    run_loop(lambda: until_signal(main))


def load_all(references: Sequence[str]) -> list[WorkflowCode]:
    return list({code.name: code for name in references for code in load(name)}.values())


async def run_roles(
    settings: Settings,
    codes: Sequence[WorkflowCode],
    roles: Collection[str],
    stop: anyio.Event,
    address: Address | None = None,
    metrics_port: int | None = None,
) -> None:
    sock = _listen_on(address) if address else None
    scraped = None if metrics_port is None else _listen_on((LOOPBACK, metrics_port))
    if sock and settings.api_url is None and settings.runtime == "process":
        # Agents that are processes of this host reach what this process serves.
        settings = msgspec.structs.replace(settings, api_url=_url_of(sock))
    async with connect(settings) as log:
        auth = await _needs_tokens(log, sock) if sock else False
        await register_codes(log, list(codes))
        runtime = await describe_runtime(log) if "launcher" in roles else None
        exporter = choose_exporter()
        meter = None
        if sock or scraped or exporter:
            # Processes that only work leave to the others what is the same for all.
            reads_gauges = bool(sock) or not set(roles).isdisjoint(REACTORS)
            meter = Meter(log, reads_gauges=reads_gauges)
        async with anyio.create_task_group() as sending:
            if meter and exporter:
                sending.start_soon(send_metrics, meter, exporter)
            if sock or "scheduler" in roles:
                start_webhooks(log, sending)
            async with anyio.create_task_group() as tasks:
                if roles:
                    carried = [*codes, container_code(log)]
                    await tasks.start(Service(log, carried, roles=roles).run, stop)
                if "worker" in roles:
                    sending.start_soon(serve_hooks, log)
                if sock:
                    await serve_api(log, codes, sock, auth, stop, tasks, meter)
                if scraped and meter:
                    await _serve_metrics(meter, scraped, stop, tasks)
                say_what_runs(log, codes, roles, runtime)
            sending.cancel_scope.cancel()


def start_webhooks(log: EventLog, tasks: anyio.abc.TaskGroup) -> None:
    """Send events to webhooks, where what sends them is installed."""
    if importlib.util.find_spec("httpcore") is None:
        return
    from ..reactors.courier import deliver_webhooks

    for partition in range(log.keys.partitions):
        tasks.start_soon(deliver_webhooks, log, partition)


def _listen_on(address: Address) -> socket.socket:
    from ..api.server import listen

    return listen(*address)


def _url_of(sock: socket.socket) -> str:
    from ..api.server import url_of

    return url_of(sock)


async def _needs_tokens(log: EventLog, sock: socket.socket) -> bool:
    from ..api.server import needs_tokens

    return await needs_tokens(log, sock)


async def serve_api(
    log: EventLog,
    codes: Sequence[WorkflowCode],
    sock: socket.socket,
    auth: bool,
    stop: anyio.Event,
    tasks: anyio.abc.TaskGroup,
    meter: Meter | None = None,
) -> None:
    """Begin to serve the HTTP API."""
    from ..api.api import Api
    from ..api.server import serve, url_of

    await tasks.start(serve, Api(log, codes, auth=auth, meter=meter), sock, stop)
    who = "with a token" if auth else "from this machine, without tokens"
    say(f"api      {url_of(sock)}, {who}; described at {url_of(sock)}/docs")


def choose_exporter() -> Exporter | None:
    """What sends metrics by OTLP; None where nobody asks for it, or it is not installed.

    The variables that ask may be meant for other programs of this machine.
    """
    if not is_wanted():
        return None
    try:
        return make_exporter()
    except ImportError as error:
        say(f"no metrics are sent: {error}; pip install 'agentainer-flow[otlp]'")
        return None


async def _serve_metrics(
    meter: Meter, sock: socket.socket, stop: anyio.Event, tasks: anyio.abc.TaskGroup
) -> None:
    from ..api.scraping import serve_metrics
    from ..api.server import url_of

    await tasks.start(serve_metrics, meter, sock, stop)
    say(f"metrics  {url_of(sock)}/metrics")


def say_what_runs(
    log: EventLog, codes: Sequence[WorkflowCode], roles: Collection[str], runtime: str | None
) -> None:
    for code in codes:
        say(f"serving {code.name} ({code.reference}): {', '.join(code.steps)}")
    if roles:
        say(f"roles    {', '.join(role for role in ROLES if role in roles)}")
    say(f"redis    {redact(log.connection.url)}")
    if runtime:
        say(f"runtime  {runtime}")
    say("ready; Ctrl-C stops")


async def describe_runtime(log: EventLog) -> str:
    """Which runtime agents will get, and why.

    Raises RuntimeUnavailable when one was asked for; who left the choice may need none.
    """
    try:
        choice = await choose_runtime(log.settings, await log.installation())
    except RuntimeUnavailable as error:
        if log.settings.runtime != "auto":
            raise
        return f"none, steps that deploy agents will fail: {error}"
    await choice.runtime.close()
    return choice.why


async def until_signal(main: Callable[[anyio.Event], Awaitable[None]]) -> None:
    """Run `main` with an event that the first SIGINT or SIGTERM sets; the second ends at once."""
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(_listen, stop)
        await main(stop)
        tasks.cancel_scope.cancel()


async def _listen(
    stop: anyio.Event,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if stop.is_set():
                os._exit(128 + number)
            say(f"{number.name}: handing over; once more stops at once")
            stop.set()


async def _stop_with_parent(stop: anyio.Event) -> None:
    """Stop when the supervisor at the other end of stdin is gone, however it went."""
    await anyio.wait_readable(sys.stdin)
    stop.set()
