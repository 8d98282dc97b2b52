"""An embedded Redis of the test's own, which may be killed."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio.to_thread

from agentainer_flow.core import embedded
from agentainer_flow.core.settings import Settings, load_settings


@contextmanager
def mortal_redis() -> Generator[Settings]:
    """Settings of a Redis that writes every change to its file at once."""
    with tempfile.TemporaryDirectory(prefix="agentainer-test-") as home:
        own = load_settings(environ={}, home=Path(home), runtime="process")
        url = embedded.ensure(own)
        yield load_settings(environ={}, home=Path(home), runtime="process", redis_url=url)
        embedded.stop(own)


async def kill(settings: Settings) -> None:
    pid = (await anyio.to_thread.run_sync(embedded.status, settings)).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while (await anyio.to_thread.run_sync(embedded.status, settings)).running:
        pass


async def restart(settings: Settings) -> None:
    await anyio.to_thread.run_sync(embedded.ensure, settings)
