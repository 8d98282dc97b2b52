"""The metrics of a serving process: counted when somebody asks, scraped or sent."""

from __future__ import annotations

import socket
from collections.abc import Collection

import anyio
import anyio.abc

from ..core.log import EventLog
from ..sdk.metrics import Meter
from ..sdk.otlp_metrics import open_exporter, send_metrics
from ..sdk.service import REACTORS
from .output import say


def open_meter(
    log: EventLog,
    roles: Collection[str],
    sending: anyio.abc.TaskGroup,
    *,
    is_scraped: bool,
    has_api: bool,
) -> Meter | None:
    """What counts in this process, and sends where the environment asks; None: nobody asks.

    Processes that only work leave to the others what is the same for all.
    """
    exporter = open_exporter() if "tracer" not in roles else None
    if not (is_scraped or exporter):
        return None
    meter = Meter(log, reads_gauges=has_api or not set(roles).isdisjoint(REACTORS))
    if exporter:
        sending.start_soon(send_metrics, meter, exporter)
    return meter


async def serve_scrapes(
    meter: Meter, sock: socket.socket, stop: anyio.Event, tasks: anyio.abc.TaskGroup
) -> None:
    """Begin to answer scrapes."""
    from ..api.scraping import serve_metrics
    from ..api.server import url_of

    await tasks.start(serve_metrics, meter, sock, stop)
    say(f"metrics  {url_of(sock)}/metrics")
