"""What `agentainer up` does, inside a test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec
import msgspec.structs

from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.service import Service


@asynccontextmanager
async def serving(settings: Settings, *classes: type) -> AsyncGenerator[None, None]:
    """Serve them; in the end tasks that run get no time, and the engine finishes what it began."""
    settings = msgspec.structs.replace(settings, grace=0.0)
    stop = anyio.Event()
    async with connect(settings) as log, anyio.create_task_group() as tasks:
        tasks.start_soon(Service(log, [code_of(cls) for cls in classes]).run, stop)
        yield
        stop.set()
