"""The Docker daemon, asked from worker threads so that the event loop never blocks."""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import anyio
import anyio.to_thread
import docker
import msgspec
import requests
import structlog
from docker.errors import APIError, DockerException, NotFound
from docker.types import CancellableStream
from urllib3.exceptions import HTTPError

from ...core.errors import RuntimeUnavailable

log = structlog.get_logger()

T = TypeVar("T")

#: What a daemon gets to answer the first question, and all others, in seconds.
_OPEN_TIMEOUT_S = 2
_CALL_TIMEOUT_S = 60
#: A wait is asked again after this time, so one that hangs is harmless.
_WAIT_S = 60
#: Calls at a time, apart from streams.
_CALLS = 16
#: What a lost or silent connection looks like, while a response is read too.
CONNECTION_ERRORS = (requests.RequestException, HTTPError, OSError)


def is_timeout(error: BaseException) -> bool:
    """Whether only time has passed: the daemon may be there all the same."""
    return isinstance(error, requests.Timeout | TimeoutError) or "timed out" in str(error)


def explain(error: APIError) -> str:
    """What the daemon says that is wrong."""
    return str(error.explanation or error)


class Api(Protocol):
    """The part of docker.APIClient that is used here, typed."""

    base_url: str
    timeout: int

    @property
    def api_version(self) -> str: ...
    def info(self) -> dict[str, Any]: ...
    def inspect_image(self, image: str) -> dict[str, Any]: ...
    def pull(self, repository: str, tag: str | None, *, stream: bool, decode: bool) -> Any: ...
    def create_host_config(self, **options: Any) -> dict[str, Any]: ...
    def create_container(self, image: str, **options: Any) -> dict[str, Any]: ...
    def start(self, container: str) -> None: ...
    def stop(self, container: str, timeout: int) -> None: ...
    def pause(self, container: str) -> None: ...
    def unpause(self, container: str) -> None: ...
    def inspect_container(self, container: str) -> dict[str, Any]: ...
    def remove_container(self, container: str, *, v: bool, force: bool) -> None: ...
    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]: ...
    def request(self, method: str, url: str, **options: Any) -> requests.Response: ...
    def close(self) -> None: ...


class Info(msgspec.Struct, frozen=True, rename="pascal"):
    """What matters of `docker info`."""

    server_version: str
    name: str
    cpus: int = msgspec.field(name="NCPU")


class Stream:
    """A response of the daemon that one thread reads and that any other may cut."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self._socket: CancellableStream[bytes] = CancellableStream(iter(()), response)
        self._claim = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        """Give the chunks as they come. Raises one of CONNECTION_ERRORS when cut while reading."""
        if self._claim.acquire(blocking=False):
            try:
                yield from self._response.raw.stream(64 * 1024)
            finally:
                self._response.close()

    def drain(self) -> None:
        for _ in self:
            pass

    def cut(self) -> None:
        """Wake up the reader, which then closes the response; close it when there is none."""
        if self._claim.acquire(blocking=False):
            self._response.close()
            return
        # A response that was just read to its end has no socket any more.
        with suppress(OSError, AttributeError):
            self._socket.close()


class Daemon:
    """A connection to the daemon at `host`, by default where DOCKER_HOST or Docker says."""

    def __init__(self, host: str | None = None) -> None:
        self._host = host or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        self._calls = anyio.CapacityLimiter(_CALLS)
        self._streams = anyio.CapacityLimiter(math.inf)
        self._connection: Api | None = None

    @property
    def api(self) -> Api:
        if self._connection is None:
            raise RuntimeUnavailable("the Docker runtime is used before it was opened")
        return self._connection

    @property
    def address(self) -> str:
        return self._host

    async def open(self) -> Info:
        """Connect within two seconds. Raises RuntimeUnavailable saying what to do."""
        try:
            return await anyio.to_thread.run_sync(self._connect, limiter=self._calls)
        except (DockerException, *CONNECTION_ERRORS) as error:
            raise RuntimeUnavailable(_advice(self._host, error)) from error

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def ask(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Make one short call. Raises RuntimeUnavailable when the connection fails in it."""
        return await self._run(self._calls, partial(call, *arguments, **options))

    async def ask_long(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Make a call that takes its time and so must not hold up short ones."""
        return await self._run(self._streams, partial(call, *arguments, **options))

    def request(self, method: str, path: str, silence_s: float, **params: Any) -> Stream:
        """Begin a request from a worker thread. Raises NotFound or one of CONNECTION_ERRORS."""
        url = f"{self.api.base_url}/v{self.api.api_version}{path}"
        limits = (_CALL_TIMEOUT_S, silence_s)
        response = self.api.request(method, url, params=params, stream=True, timeout=limits)
        if response.status_code == requests.codes.not_found:
            raise NotFound(response.text, response=response)
        response.raise_for_status()
        return Stream(response)

    async def wait(self, container: str) -> None:
        """Wait in a thread until the container does not run, or about a minute.

        Raises NotFound, or one of CONNECTION_ERRORS.
        """
        path = f"/containers/{container}/wait"
        stream = await self.ask(self.request, "POST", path, _WAIT_S)
        try:
            await self.in_own_thread(stream.drain)
        finally:
            stream.cut()

    async def in_own_thread(self, read: Callable[[], None]) -> None:
        """Run what reads a stream; when cancelled, leave it to whoever cuts the stream."""
        await anyio.to_thread.run_sync(read, limiter=self._streams, abandon_on_cancel=True)

    async def _run(self, limiter: anyio.CapacityLimiter, call: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(call, limiter=limiter)
        except APIError:
            raise
        except CONNECTION_ERRORS as error:
            raise RuntimeUnavailable(_advice(self._host, error)) from error

    def _connect(self) -> Info:
        _knock(self._host)
        client = docker.from_env(
            timeout=_OPEN_TIMEOUT_S,
            max_pool_size=64,
            environment={**os.environ, "DOCKER_HOST": self._host},
        )
        self._connection = cast(Api, client.api)
        info = msgspec.convert(self._connection.info(), Info)
        self._connection.timeout = _CALL_TIMEOUT_S
        return info


def _knock(host: str) -> None:
    """Find a missing or closed socket, which docker-py would leave open while it complains."""
    scheme, _, path = host.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(_OPEN_TIMEOUT_S)
            knocking.connect(path)


def _advice(host: str, error: BaseException) -> str:
    """Say what is wrong with the connection and what to do about it."""
    text = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    remedy = "see whether the daemon is well (`docker info`)"
    if "PermissionError" in text:
        remedy = "permission denied: join the group docker (`sudo usermod -aG docker $USER`)"
    elif "FileNotFoundError" in text:
        remedy = "there is no such socket: start Docker (dockerd), or set DOCKER_HOST"
    elif "ConnectionRefusedError" in text:
        remedy = "nobody listens there: start Docker (dockerd)"
    elif "imeout" in text or "timed out" in text:
        remedy = "it does not answer in time: see whether the daemon is well (`docker info`)"
    return f"Docker at {host} cannot be used: {remedy}"
