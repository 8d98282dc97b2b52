"""The embedded Redis: one server per user and home, started on demand, shared by all commands.

Who may start it is decided by one lock file. The starter takes the lock and hands the open file
on to the server, which then holds it for as long as it lives, whatever becomes of the starter.
So "the lock is free" means "no server", also after a kill -9 or a reboot, and there is never a
second server on the same files. A pid file could say neither.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import EmbeddedRedisError
from .redis_program import Program, choose_program
from .settings import Settings

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
POLL = 0.02

#: Bytes that every platform accepts as the path of a unix socket.
SOCKET_PATH_LIMIT = 100

Answer = Literal["ready", "loading", "silent", "absent"]


class EmbeddedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the embedded Redis of a home; facts of a stopped one are None."""

    running: bool
    url: str
    directory: str
    #: Why a running server cannot be used yet.
    problem: str | None = None
    pid: int | None = None
    version: str | None = None
    program: str | None = None
    started: dt.datetime | None = None
    memory_bytes: int | None = None
    keys: int | None = None


class Place(msgspec.Struct, frozen=True):
    """The files of the embedded Redis of one home."""

    directory: Path
    socket: Path

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    @property
    def lock(self) -> Path:
        return self.directory / "server.lock"

    @property
    def log(self) -> Path:
        return self.directory / "redis.log"

    @property
    def written_by(self) -> Path:
        return self.directory / "written-by"


def ensure(settings: Settings) -> str:
    """Return the URL of the embedded Redis, after starting it when it does not run.

    Raises EmbeddedRedisError with the last lines of the server's log when it does not start.
    """
    place = _place(settings)
    started, deadline = False, time.monotonic() + START_TIMEOUT
    while (answer := _ask(place)) != "ready":
        if answer == "loading":
            deadline = time.monotonic() + START_TIMEOUT
        if time.monotonic() > deadline:
            raise EmbeddedRedisError(_explain(place, "does not answer"))
        with _try_lock(place) as lock:
            if lock is not None and started:
                raise EmbeddedRedisError(_explain(place, "ended while it started"))
            if lock is not None and _ask(place) == "absent":
                _start(place, lock)
                started = True
        time.sleep(POLL)
    return place.url


def status(settings: Settings) -> EmbeddedStatus:
    """Return what runs for these settings, without starting anything."""
    place = _place(settings)
    answer = _ask(place)
    if answer == "absent":
        return EmbeddedStatus(running=False, url=place.url, directory=str(place.directory))
    if answer == "silent":
        return EmbeddedStatus(
            running=True,
            url=place.url,
            directory=str(place.directory),
            problem="does not answer",
            pid=_listener(place),
        )
    with _client(place) as client:
        return _describe(place, client.info())


def stop(settings: Settings) -> bool:
    """Stop the embedded Redis; return whether one ran. What it acknowledged stays on disk.

    Raises EmbeddedRedisError when it does not end.
    """
    place = _place(settings)
    if _ask(place) == "absent":
        return False
    pid = _listener(place)
    for request in (_shut_down, _terminate, _kill):
        request(place, pid)
        if _wait_for_end(place):
            return True
    raise EmbeddedRedisError(_explain(place, "does not stop"))


def _place(settings: Settings) -> Place:
    directory = settings.home_path / "redis"
    path = directory / "redis.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        path = _short_directory(directory) / "redis.sock"
    return Place(directory, path)


def _short_directory(directory: Path) -> Path:
    # Neither TMPDIR nor XDG_RUNTIME_DIR: a login shell and a cron job must find the same socket.
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    return Path(f"/tmp/agentainer-{os.geteuid()}-{name}")  # noqa: S108 made private before use


def _client(place: Place) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(place.socket),
        socket_timeout=5,
        socket_connect_timeout=5,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def _ask(place: Place) -> Answer:
    try:
        with _client(place) as client:
            client.ping()
    except redis.BusyLoadingError:
        return "loading"
    except redis.TimeoutError:
        return "silent"
    except redis.ConnectionError:
        return "absent"
    except redis.ResponseError:
        return "ready"  # such as BUSY: alive, and the commands that follow will say more
    return "ready"


@contextmanager
def _try_lock(place: Place) -> Iterator[int | None]:
    """Take the server's lock for a moment; yields None when a server or a starter has it."""
    try:
        _make_private(place.directory)
        lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedRedisError(
            f"cannot use {place.directory} for the embedded Redis: {error}. Set AGENTAINER_HOME "
            "to a folder that you may write, or AGENTAINER_REDIS_URL to a Redis that runs."
        ) from error
    try:
        yield lock if _locked(lock) else None
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_private(directory: Path) -> None:
    """Make the folder readable for its user only; raises PermissionError when it is another's."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = directory.lstat()
    if facts.st_uid != os.geteuid():
        raise PermissionError(f"it belongs to user {facts.st_uid}, you are user {os.geteuid()}")
    if directory.is_symlink():
        raise PermissionError("it is a symbolic link")
    if facts.st_mode & 0o077:
        directory.chmod(0o700)


def _start(place: Place, lock: int) -> None:
    program = choose_program(_read_text(place.written_by) or None)
    try:
        _make_private(place.socket.parent)
        done = subprocess.run(
            _command(program, place),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
            pass_fds=(lock,),
            umask=0o077,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedRedisError(_explain(place, f"cannot be started: {error}")) from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise EmbeddedRedisError(_explain(place, f"cannot be started: {said}"))
    place.written_by.write_text(str(program))


def _command(program: Program, place: Place) -> list[str]:
    options = {
        "dir": str(place.directory),
        "port": "0",
        "unixsocket": str(place.socket),
        "unixsocketperm": "700",
        # Leaves the session of the terminal, so that Ctrl-C there does not reach it.
        "daemonize": "yes",
        "pidfile": str(place.directory / "redis.pid"),
        "logfile": str(place.log),
        "appendonly": "yes",
        # An acknowledged event survives a power cut; group commit keeps it fast.
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        # Small nodes: a log of a few events costs 1 KB instead of 4.
        "stream-node-max-bytes": "1024",
    }
    return [program.path, *(part for name in options for part in (f"--{name}", options[name]))]


def _listener(place: Place) -> int | None:
    """Return the pid of the process that listens on the socket, as the kernel knows it.

    It is known also of a server that is frozen, and it cannot be a reused number.
    """
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(STOP_TIMEOUT)
        try:
            peer.connect(str(place.socket))
        except OSError:
            return None
        if sys.platform == "linux":
            size = struct.calcsize("3i")
            facts = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            pid: int = struct.unpack("3i", facts)[0]
            return pid
        return peer.getsockopt(0, 2)  # LOCAL_PEERPID of macOS


def _shut_down(place: Place, pid: int | None) -> None:
    try:
        with _client(place) as client:
            client.shutdown()
    except redis.RedisError:
        return  # it hung up as it should, or the next request is a signal


def _terminate(place: Place, pid: int | None) -> None:
    _signal(place, pid, signal.SIGTERM)


def _kill(place: Place, pid: int | None) -> None:
    # Safe for the data: what was acknowledged is on disk.
    _signal(place, pid, signal.SIGKILL)


def _signal(place: Place, pid: int | None, number: signal.Signals) -> None:
    if pid is not None and _listener(place) == pid:
        os.kill(pid, number)


def _wait_for_end(place: Place) -> bool:
    deadline = time.monotonic() + STOP_TIMEOUT
    while time.monotonic() < deadline:
        with _try_lock(place) as lock:
            if lock is not None:
                return True
        time.sleep(POLL)
    return False


def _describe(place: Place, info: dict[str, Any]) -> EmbeddedStatus:
    started = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=info["uptime_in_seconds"])
    databases = [info[name] for name in info if re.fullmatch(r"db\d+", name)]
    return EmbeddedStatus(
        running=True,
        url=place.url,
        directory=str(place.directory),
        problem="loads its append-only file" if info["loading"] else None,
        pid=info["process_id"],
        version=info["redis_version"],
        program=info["executable"],
        started=started.replace(microsecond=0),
        memory_bytes=info["used_memory"],
        keys=sum(database["keys"] for database in databases),
    )


def _explain(place: Place, problem: str) -> str:
    tail = _read_text(place.log).splitlines()[-8:]
    lines = "".join(f"\n  | {line}" for line in tail)
    return f"the embedded Redis in {place.directory} {problem}; its log {place.log} ends:{lines}"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
