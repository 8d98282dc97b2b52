"""Every test here is played on Redis and on the Redis in memory: both have to do the same."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings

from ..conftest import MEMORY


@pytest.fixture(scope="session", params=["redis", "memory"])
def redis_url(request: pytest.FixtureRequest, redis_url: str) -> str:
    """The newest Redis here, and the one in memory; files on scripts take `each_redis_url`."""
    return MEMORY if request.param == "memory" else redis_url


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    log = EventLog(settings, settings.redis_url or "")
    await log.open()
    yield log
    await log.close()
