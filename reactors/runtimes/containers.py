"""The containers of jobs on one daemon: looked at, made, removed; each is known by its name."""

from __future__ import annotations

from contextlib import suppress

import anyio
import msgspec
from docker.errors import APIError, NotFound

from ...core.errors import CannotLaunch, RuntimeUnavailable
from .container import Container, Image, belongs, container_options, host_options
from .contract import Launch
from .daemon import Daemon, explain
from .folder import JobFolder
from .image import checked
from .images import Images

#: Answers of the daemon.
NOT_FOUND, CONFLICT = 404, 409


class Containers:
    def __init__(self, daemon: Daemon, installation: str) -> None:
        self._daemon = daemon
        self._installation = installation
        self._images = Images(daemon)
        #: Of the host.
        self.cpus = 1
        #: By name, ids of those that we have made: they are removed without a look.
        self._made: dict[str, str] = {}

    def take_made(self, name: str) -> str | None:
        """The id of what we made under a name; the caller is about to remove it."""
        return self._made.pop(name, None)

    async def inspect(self, name: str) -> Container | None:
        try:
            found = await self._daemon.ask(self._daemon.api.inspect_container, name)
        except NotFound:
            return None
        except APIError as error:  # it does not say how the container is, so ask again
            raise RuntimeUnavailable(f"Docker cannot inspect {name}: {error}") from error
        return msgspec.convert(found, Container)

    async def find(self, launch: Launch, folder: JobFolder) -> Container | None:
        """Find the job's container. Raises CannotLaunch when its name is somebody else's."""
        container = await self.inspect(folder.name)
        if container is not None and not belongs(container, self._installation, launch):
            raise CannotLaunch(
                "cannot_start",
                f"a container named {folder.name} is here that was not made for this job; "
                f"remove or rename it (docker rename {folder.name} …)",
            )
        return container

    async def create(self, launch: Launch, folder: JobFolder) -> tuple[Container, bool]:
        """Make the container; or find it, and say so, where its folder was lost.

        Images rarely change: it is made for the image as it was last while the daemon is asked what
        the image is now, and made again where that is another one.
        """
        name = checked(launch.image)
        last = self._images.last(name)
        if last is None:
            return await self._make(launch, folder, await self._images.find(name))
        image = last
        made: list[tuple[Container, bool]] = []

        async def make() -> None:
            with suppress(CannotLaunch, RuntimeUnavailable):  # as will show when it is made again
                made.append(await self._make(launch, folder, last))

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(make)
                image = await self._images.find(name)
        except BaseExceptionGroup as group:
            raise only_error(group) from None
        if image == last:
            return made[0] if made else await self._make(launch, folder, image)
        former = await self.find(launch, folder)
        if former and former.state.started:
            return former, True
        if former:
            await self.remove(former.id)
        return await self._make(launch, folder, image)

    async def _make(
        self, launch: Launch, folder: JobFolder, image: Image
    ) -> tuple[Container, bool]:
        options = container_options(launch, image, self._installation, folder)
        api = self._daemon.api
        host = api.create_host_config(**host_options(launch, folder, self.cpus))
        try:
            made = await self._daemon.ask(
                api.create_container, launch.image, host_config=host, **options
            )
            self._made[folder.name] = made["Id"]
            return Container(made["Id"]), False
        except APIError as error:
            if error.status_code != CONFLICT:
                raise CannotLaunch("cannot_start", explain(error)) from error
        container = await self.find(launch, folder)
        if container is None:
            raise CannotLaunch("cannot_start", f"container {folder.name} vanished when created")
        return container, True

    async def remove(self, container: str) -> bool:
        """Whether it was there."""
        try:
            remove = self._daemon.api.remove_container
            await self._daemon.ask(remove, container, v=True, force=True)
        except APIError as error:
            if error.status_code == NOT_FOUND:
                return False
            if error.status_code != CONFLICT:  # it is on its way out by another's hand
                raise RuntimeUnavailable(f"Docker cannot remove {container}: {error}") from error
        return True


def only_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Unwrap what went wrong when it is one thing, such as an error of the sink."""
    leaves = group
    while len(leaves.exceptions) == 1:
        match leaves.exceptions[0]:
            case BaseExceptionGroup() as inner:
                leaves = inner
            case error:
                return error
    return leaves
