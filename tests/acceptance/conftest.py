"""The fixture of tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentainer_flow.core.settings import Settings

from .scene import Scene


@pytest.fixture
def scene(settings: Settings, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(settings, tmp_path)
    try:
        yield scene
    finally:
        scene.close()
