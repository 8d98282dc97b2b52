"""Servers by name, as `memory://NAME` finds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from .server import Server, own_clock

_served: dict[str, Server] = {}
#: Servers that nobody has made: they end with the event loop that asked for them.
_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Server]] = WeakKeyDictionary()


@contextmanager
def serve(
    name: str,
    *,
    clock: Callable[[], float] = own_clock,
    seed: int = 0,
    keeps_journal: bool = False,
) -> Generator[Server]:
    """Have a server of this name, for all event loops, as long as the context lasts."""
    if name in _served:
        raise ValueError(f"memory://{name} is served already")
    server = _served[name] = Server(clock, seed=seed, keeps_journal=keeps_journal)
    try:
        yield server
    finally:
        del _served[name]
        server.go_away()


def find_server(name: str) -> Server:
    """The server of this name; of the running loop when nobody serves one."""
    if name in _served:
        return _served[name]
    servers = _of_loops.setdefault(asyncio.get_running_loop(), {})
    if name not in servers:
        servers[name] = Server()
    return servers[name]
