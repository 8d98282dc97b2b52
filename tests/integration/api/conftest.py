"""A server on a port of its own, with the roles that carry workflows, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agentainer_flow.core.settings import Settings

from .scene import Scene, open_scene


@pytest.fixture
async def scene(settings: Settings) -> AsyncIterator[Scene]:
    async with open_scene(settings) as scene:
        yield scene
