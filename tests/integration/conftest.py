"""The fixture of the tests of the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentainer_flow.core.settings import Settings

from .command import Command


@pytest.fixture
def cli(settings: Settings, tmp_path: Path) -> Iterator[Command]:
    command = Command(settings, tmp_path)
    try:
        yield command
    finally:
        command.close()
