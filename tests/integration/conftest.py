"""What most tests here begin with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings

from .command import Command


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    log = EventLog(settings, settings.redis_url or "")
    await log.open()
    yield log
    await log.close()


@pytest.fixture
def cli(settings: Settings, tmp_path: Path) -> Iterator[Command]:
    command = Command(settings, tmp_path)
    try:
        yield command
    finally:
        command.close()
