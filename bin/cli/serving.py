"""`agentainer up`, `reactors`, `worker` and `launcher`: serve in this process until a signal."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc
import msgspec

from ..core.connection import redact
from ..core.errors import RuntimeUnavailable, SettingsError
from ..core.log import EventLog
from ..core.settings import Settings
from ..reactors.otlp import INSTALL, is_installed, is_wanted
from ..reactors.runtimes.choose import choose_runtime
from ..reactors.tracer import TraceReactor, keep_for_tracer, open_tracer
from ..sdk.connections import connect
from ..sdk.containers import container_code
from ..sdk.creation import register_codes
from ..sdk.graph import WorkflowCode
from ..sdk.hooks import serve_hooks
from ..sdk.loop import run_loop
from ..sdk.metrics import Meter
from ..sdk.registry import load
from ..sdk.service import ROLES, Service
from .children import PROGRAM, Child
from .metering import open_meter, serve_scrapes
from .output import say
from .session import prepare
from .stopping import starting, stop_with_parent, until_signal

#: Niceness of a process that exports: beside busy ones it gets a tenth of a processor.
PATIENT = 10
AUTOGROUP = Path("/proc/self/autogroup")

#: Longest wait at a start for a Redis that is away, as one that starts at the same time, seconds.
REDIS_COMES = 10.0

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
        async with anyio.create_task_group() as children:
            if "scheduler" in roles and not supervised:
                children.start_soon(keep_children, tracing_children(), stop)
            async with anyio.create_task_group() as tasks:
                if supervised:
                    tasks.start_soon(stop_with_parent, stop)
                await run_roles(
                    settings, codes, roles, stop, address, metrics_port, supervised=supervised
                )
                tasks.cancel_scope.cancel()
            stop.set()

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
    *,
    supervised: bool = False,
) -> None:
    sock = _listen_on(address) if address else None
    scraped = None if metrics_port is None else _listen_on((LOOPBACK, metrics_port))
    if sock and settings.api_url is None and settings.runtime == "process":
        # Agents that are processes of this host reach what this process serves.
        settings = msgspec.structs.replace(settings, api_url=_url_of(sock))
    async with starting(stop) as started, connect(settings, patience=REDIS_COMES) as log:
        auth = await _needs_tokens(log, sock) if sock else False
        await register_codes(log, list(codes))
        runtime = await describe_runtime(log) if "launcher" in roles else None
        async with anyio.create_task_group() as sending:
            is_scraped = bool(sock or scraped)
            meter = open_meter(log, roles, sending, is_scraped=is_scraped, has_api=bool(sock))
            if sock or "scheduler" in roles:
                start_webhooks(log, sending)
            if "scheduler" in roles and is_wanted():
                await keep_for_tracer(log)
            tracers = await start_tracers(log, sending, supervised) if "tracer" in roles else []
            async with anyio.create_task_group() as tasks:
                if not set(roles).isdisjoint(ROLES):
                    carried = [*codes, container_code(log)]
                    await tasks.start(Service(log, carried, roles=roles).run, stop)
                started.set()
                if "worker" in roles:
                    sending.start_soon(serve_hooks, log)
                if sock:
                    await serve_api(log, codes, sock, auth, stop, tasks, meter)
                if scraped and meter:
                    await serve_scrapes(meter, scraped, stop, tasks)
                say_what_runs(log, codes, roles, runtime)
                if tracers:
                    await stop.wait()
            async with anyio.create_task_group() as ending:
                for tracer in tracers:
                    ending.start_soon(tracer.finish)
            sending.cancel_scope.cancel()


def start_webhooks(log: EventLog, tasks: anyio.abc.TaskGroup) -> None:
    """Send events to webhooks, where what sends them is installed."""
    if importlib.util.find_spec("httpcore") is None:
        return
    from ..reactors.courier import deliver_webhooks

    for partition in range(log.keys.partitions):
        tasks.start_soon(deliver_webhooks, log, partition)


def tracing_children() -> list[Child]:
    """The process that exports traces, where the environment asks for it.

    Encoding a span costs more than a small task, so it is not done where workflows are served.
    """
    if not is_wanted():
        return []
    if not is_installed():
        say(f"traces are not exported: {INSTALL}")
        return []
    return [Child("tracer", [*PROGRAM, "reactors", "--only", "tracer", "--supervised"])]


async def keep_children(children: list[Child], stop: anyio.Event) -> None:
    async with anyio.create_task_group() as lives:
        for child in children:
            lives.start_soon(child.live)
        await stop.wait()
        for child in children:
            child.stop(signal.SIGTERM)


async def start_tracers(
    log: EventLog, tasks: anyio.abc.TaskGroup, is_child: bool
) -> list[TraceReactor]:
    """Export traces here; a child leaves the processors to its parent. Raises SettingsError."""
    if not is_wanted():
        raise SettingsError("traces need a collector: set OTEL_EXPORTER_OTLP_ENDPOINT")
    if is_child:
        _stand_back()
    partitions = range(log.keys.partitions)
    found = [open_tracer(log, partition, stands_back=is_child) for partition in partitions]
    tracers = [tracer for tracer in found if tracer]
    for tracer in tracers:
        await tasks.start(tracer.run)
    return tracers


def _stand_back() -> None:
    """Leave the processors to who serves workflows."""
    if hasattr(os, "nice"):
        os.nice(PATIENT)
    with suppress(OSError):
        # Linux weighs sessions before processes, and this one has a session of its own.
        AUTOGROUP.write_text(str(PATIENT))


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
