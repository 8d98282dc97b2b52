"""Looking at images: many who ask at once cost the daemon few looks."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator

import anyio
import anyio.lowlevel
import pytest

from agentainer_flow.core.errors import CannotLaunch
from agentainer_flow.reactors.runtimes.container import Image
from agentainer_flow.reactors.runtimes.daemon import Daemon
from agentainer_flow.reactors.runtimes.images import Images

from ..polling import until
from .bench import IMAGE

pytestmark = [pytest.mark.anyio, pytest.mark.docker, pytest.mark.usefixtures("images")]

MISSING = "no-such-agent:1"


@pytest.fixture
async def daemon() -> AsyncGenerator[Daemon, None]:
    daemon = Daemon()
    await daemon.open()
    yield daemon
    await daemon.close()


class Held:
    """Calls of the daemon that are noted, and wait for leave."""

    def __init__(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.count = 0
        self.leave = threading.Event()
        self._call = getattr(daemon.api, name)
        monkeypatch.setattr(daemon.api, name, self)

    def __call__(self, *args: object, **options: object) -> object:
        self.count += 1
        assert self.leave.wait(30)
        return self._call(*args, **options)


async def ask_at_once(images: Images, name: str, held: Held) -> list[Image | CannotLaunch]:
    """Eight ask, seven of them while the first look is under way; what they are told."""
    told: list[Image | CannotLaunch] = []

    async def ask() -> None:
        try:
            told.append(await images.find(name))
        except CannotLaunch as error:
            told.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await until(lambda: held.count > 0)
        for _ in range(7):
            tasks.start_soon(ask)
        await anyio.lowlevel.checkpoint()  # all of them have asked
        held.leave.set()
    return told


async def test_who_asks_during_a_look_shares_the_next(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(daemon, monkeypatch, "inspect_image")
    images = Images(daemon)
    told = await ask_at_once(images, IMAGE, held)
    assert held.count == 2
    assert len(told) == 8
    assert all(one == told[0] for one in told)
    await images.find(IMAGE)
    assert held.count == 3  # it may be another image by now


async def test_a_missing_image_is_pulled_for_all_who_wait(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(daemon, monkeypatch, "pull")
    told = await ask_at_once(Images(daemon), MISSING, held)
    assert held.count == 2
    assert len(told) == 8
    for one in told:
        assert isinstance(one, CannotLaunch)
        assert one.kind == "image_missing"
