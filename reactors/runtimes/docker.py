"""Jobs as Docker containers, hardened by default.

Docker is the lock: a container's name is derived from its job, so creating it twice finds the
first. The order is create, start, follow, and remove only when the launcher has recorded the
outcome. What an inspect says is the truth; waiting and log streams only tell when to look.

One race is left to us: `start` on a container that has just ended runs it again. So `start` holds
the job's lock on this host while it looks and starts. And when it finds a container that somebody
began to start and then died, it first gives the daemon time to finish that.

`command` replaces the image's CMD, its ENTRYPOINT stays; an image's STOPSIGNAL is respected.
The launcher's files must be on the daemon's host, since results come by a mounted folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread
from docker.errors import APIError

from ...core.errors import CannotLaunch, RuntimeUnavailable
from .answer import RESULT_LIMIT, StopKind, outcome
from .container import (
    LABEL,
    Container,
    State,
    begun_now,
    belongs,
    ending,
)
from .container_log import ContainerLog
from .containers import CONFLICT, NOT_FOUND, Containers, only_error
from .contract import Launch, Outcome, Permit, Sink, Started, always
from .daemon import CONNECTION_ERRORS, Daemon, Info, explain, is_timeout
from .environment import hidden_from_logs
from .folder import JobFolder, folder_of, remaining
from .output import Output
from .patience import patiently

#: An answer of the daemon: unpausing what is not paused is a server error to it.
_SERVER = 500
_AGAIN_S = 0.1
#: How long a start whose caller died may still be on its way in the daemon.
_STARTING_S = 5.0


class DockerRuntime:
    """Runs agents as containers, their results in folders below `results`."""

    name = "docker"

    def __init__(
        self,
        installation: str,
        results: Path,
        *,
        result_limit: int = RESULT_LIMIT,
        host: str | None = None,
    ) -> None:
        self._installation = installation
        self._results = results
        self._result_limit = result_limit
        self._daemon = Daemon(host)
        self._containers = Containers(self._daemon, installation)
        self._info = Info("", "", 1)
        self._starts = anyio.CapacityLimiter(2)
        #: By name, containers that we have started and that nobody follows yet: they need no look.
        self._begun: dict[str, Container] = {}

    async def open(self) -> str:
        """Connect to the daemon, which has two seconds to answer."""
        self._info = await self._daemon.open()
        self._containers.cpus = self._info.cpus
        # Starts beyond twice the cores only make each other slower.
        self._starts.total_tokens = 2 * self._info.cpus
        return f"docker {self._info.server_version} at {self._daemon.address}"

    async def start(self, launch: Launch, may_begin: Permit = always) -> Started | None:
        """Create and start the job's container, or adopt it; pull the image when it is not here.

        Raises RuntimeUnavailable when the connection fails: call again, it will adopt.
        """
        folder = self._folder(launch)
        while True:
            async with folder.locked():
                container = None
                if folder.is_prepared:
                    container = await self._containers.find(launch, folder)
                if container and folder.is_cancelled and await may_begin():
                    await self._clear(launch, folder)  # it was forgotten, and is wanted again
                else:
                    return await self._start_or_adopt(launch, folder, container, may_begin)

    async def _start_or_adopt(
        self, launch: Launch, folder: JobFolder, container: Container | None, may_begin: Permit
    ) -> Started | None:
        adopted = container is not None
        if not (container and container.state.started) and not await may_begin():
            await self._clear(launch, folder)
            return None
        folder.prepare()
        try:
            if container is None:
                container, adopted = await self._containers.create(launch, folder)
            if not container.state.started:
                await self._start(container, folder)
                self._begun[folder.name] = Container(container.id, begun_now())
        except CannotLaunch:
            await self._clear(launch, folder, self._containers.take_made(folder.name))
            raise
        return Started(container.id, self._info.name, adopted)

    async def follow(self, launch: Launch, sink: Sink) -> Outcome:
        """Pass on the whole log from its start, keep the time limit, judge the end.

        A daemon that does not answer is waited for: the job may well go on.
        """
        folder = self._folder(launch)
        output = Output(self._result_limit, hidden_from_logs(launch))
        container = self._begun.pop(folder.name, None)
        container = container or await patiently(lambda: self._containers.inspect(folder.name))
        if container is not None:
            log = ContainerLog(self._daemon, folder.name, output)
            try:
                container = await self._watch(launch, container, log, sink)
            except BaseExceptionGroup as group:
                raise only_error(group) from None
        state = container.state if container else None
        end = ending(launch, state, folder.stopped, output.last_lines)
        return await anyio.to_thread.run_sync(
            outcome, launch, end, output, folder.result, self._result_limit
        )

    async def stop(self, launch: Launch, may_stop: Permit = always) -> None:
        """SIGTERM, SIGKILL after the grace period, and wait until it is done."""
        await patiently(lambda: self._stop(launch, "cancelled", may_stop))

    async def freeze(self, launch: Launch) -> None:
        await patiently(lambda: self._switch(self._daemon.api.pause, launch))

    async def thaw(self, launch: Launch) -> None:
        await patiently(lambda: self._switch(self._daemon.api.unpause, launch))

    async def _switch(self, switch: Callable[[str], None], launch: Launch) -> None:
        """Pause or unpause; a container that is so already, or gone, is left alone."""
        try:
            await self._daemon.ask(switch, self._folder(launch).name)
        except APIError as error:
            if error.status_code not in (NOT_FOUND, CONFLICT, _SERVER):
                raise RuntimeUnavailable(f"Docker cannot do it: {error}") from error

    async def remove(self, launch: Launch, may_remove: Permit = always) -> bool:
        """Delete container and folder, killing what still runs."""
        folder = self._folder(launch)
        self._begun.pop(folder.name, None)
        made = self._containers.take_made(folder.name)
        async with folder.locked():
            permitted = await may_remove()
            if permitted:
                await patiently(lambda: self._clear(launch, folder, made))
        return permitted

    async def leftovers(self) -> list[tuple[str, str]]:
        mine = {"label": f"{LABEL}installation={self._installation}"}
        api = self._daemon.api
        found = await patiently(lambda: self._daemon.ask(api.containers, all=True, filters=mine))
        labels = [one["Labels"] for one in found]
        jobs = {(one[f"{LABEL}workflow"], one[f"{LABEL}job"]) for one in labels}
        files = await anyio.to_thread.run_sync(remaining, self._results, self._installation)
        return sorted(jobs | set(files))

    async def close(self) -> None:
        await self._daemon.close()

    def _folder(self, launch: Launch) -> JobFolder:
        return folder_of(self._results, self._installation, launch)

    async def _start(self, container: Container, folder: JobFolder) -> None:
        if folder.starting and await self._started_meanwhile(folder.name):
            return
        folder.mark_starting()
        try:
            async with self._starts:
                await self._daemon.ask(self._daemon.api.start, container.id)
        except APIError as error:
            # Docker can say 500 although it did start.
            now = await self._containers.inspect(folder.name)
            if now is None or not now.state.started:
                raise CannotLaunch("cannot_start", explain(error)) from error

    async def _started_meanwhile(self, name: str) -> bool:
        """Give a start of another process, which died in it, time to come through."""
        until = anyio.current_time() + _STARTING_S
        while anyio.current_time() < until:
            found = await self._containers.inspect(name)
            if found is None or found.state.started:
                return True
            await anyio.sleep(_AGAIN_S)
        return False

    async def _watch(
        self, launch: Launch, container: Container, log: ContainerLog, sink: Sink
    ) -> Container | None:
        ended = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.copy, sink)
            tasks.start_soon(self._keep_time, launch, container.state)
            ended = await self._ended(container, self._folder(launch).name, log.output)
            await log.finish()
            tasks.cancel_scope.cancel()
        return ended

    async def _ended(self, now: Container | None, name: str, output: Output) -> Container | None:
        """Wait until an inspect says that it does not run, or that it is gone (None)."""
        while now is not None and now.state.running:
            try:
                await self._daemon.wait(name)
            except (RuntimeUnavailable, *CONNECTION_ERRORS) as error:
                output.has_gaps |= not is_timeout(error)
                await anyio.sleep(_AGAIN_S)
            now = await patiently(lambda: self._containers.inspect(name))
        return now

    async def _keep_time(self, launch: Launch, state: State) -> None:
        """Stop the job at its time limit, counted from its start whoever started it."""
        if launch.limits.timeout_s is None or not state.started:
            return
        started_at = datetime.fromisoformat(state.started_at).timestamp()
        await anyio.sleep(max(0, started_at + launch.limits.timeout_s - time.time()))
        await patiently(lambda: self._stop(launch, "timed_out"))

    async def _stop(self, launch: Launch, kind: StopKind, may_stop: Permit = always) -> None:
        folder = self._folder(launch)
        async with folder.locked():
            container = await self._containers.inspect(folder.name)
            if container is None or not container.state.running or not await may_stop():
                return
            folder.mark_stopped(kind)
        await self.thaw(launch)  # a frozen one would never see the SIGTERM
        grace_s = math.ceil(launch.limits.grace_s)
        try:
            await self._daemon.ask_long(self._daemon.api.stop, container.id, grace_s)
        except APIError as error:
            if error.status_code != NOT_FOUND:
                raise RuntimeUnavailable(f"Docker cannot stop {folder.name}: {error}") from error

    async def _clear(self, launch: Launch, folder: JobFolder, made: str | None = None) -> None:
        """Remove what is left of the job, and nobody else's container of that name.

        `made` is the id of a container that was the job's, unless another process has put one of
        its own in its place.
        """
        if made is None or not await self._containers.remove(made):
            container = await self._containers.inspect(folder.name)
            if container and belongs(container, self._installation, launch):
                await self._containers.remove(container.id)
        await anyio.to_thread.run_sync(folder.remove)
