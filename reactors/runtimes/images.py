"""What the Docker daemon says of images, pulled where it has none.

A fan-out asks for one image many times at once. Whoever asks while it is being looked at waits for
the next look, which is for all who wait: it may be another image since the look before began.
"""

from __future__ import annotations

import anyio
import msgspec
from docker.errors import APIError, NotFound
from docker.utils import parse_repository_tag

from ...core.errors import CannotLaunch
from .container import Image
from .daemon import Daemon, explain


class _Looks:
    """At one image: one at a time, and what the last one found, with the time it began."""

    def __init__(self) -> None:
        self.turn = anyio.Lock()
        self.last: tuple[float, Image | CannotLaunch] | None = None


class Images:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._looks: dict[str, _Looks] = {}
        self._last: dict[str, Image] = {}

    def last(self, name: str) -> Image | None:
        """What it was when it was last looked at."""
        return self._last.get(name)

    async def find(self, name: str) -> Image:
        """What it is now. Raises CannotLaunch (`image_missing`), RuntimeUnavailable."""
        asked = anyio.current_time()
        looks = self._looks.setdefault(name, _Looks())
        try:
            async with looks.turn:
                if looks.last is None or looks.last[0] < asked:
                    looks.last = (anyio.current_time(), await self._look(name))
                _, found = looks.last
        finally:
            if not looks.turn.locked():  # nobody waits for it
                self._looks.pop(name, None)
        if isinstance(found, CannotLaunch):
            raise CannotLaunch(found.kind, found.reason)
        return found

    async def _look(self, name: str) -> Image | CannotLaunch:
        inspect = self._daemon.api.inspect_image
        try:
            try:
                found = await self._daemon.ask(inspect, name)
            except NotFound:
                await self._daemon.ask_long(self._pull, name)
                found = await self._daemon.ask(inspect, name)
        except CannotLaunch as error:
            return error
        image = self._last[name] = msgspec.convert(found, Image)
        return image

    def _pull(self, name: str) -> None:
        """Pull in a thread, reading what the daemon says: errors come inside of the stream."""
        repository, tag = parse_repository_tag(name)
        try:
            notes = self._daemon.api.pull(repository, tag or "latest", stream=True, decode=True)
            problem = next((note["error"] for note in notes if "error" in note), None)
        except APIError as error:
            problem = explain(error)
        if problem:
            raise CannotLaunch(
                "image_missing",
                f"image {name!r} is not here and cannot be pulled: {problem}. Build it "
                f"(docker build -t {name} <its folder>) or check the name",
            )
