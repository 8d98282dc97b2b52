"""The embedded Redis: one server per user and home, started on demand, shared by all commands.

Who may start it is decided by one lock file. The starter takes the lock and hands the open file
on to the server, which then holds it for as long as it lives, whatever becomes of the starter.
So "the lock is free" means "no server", also after a kill -9 or a reboot, and there is never a
second server on the same files. A pid file could say neither.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any, Literal

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .embedded_files import (
    Place,
    explain,
    find_place,
    make_private,
    mending,
    read_text,
    try_lock,
)
from .errors import EmbeddedRedisError
from .redis_program import Program, choose_program
from .settings import Settings

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
REPLY_TIMEOUT = 5.0
POLL = 0.02

Answer = Literal["ready", "loading", "silent", "absent"]

#: Why a server that runs cannot be used yet.
PROBLEMS: dict[Answer, str] = {
    "loading": "loads its append-only file",
    "silent": "does not answer",
}


class EmbeddedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the embedded Redis of a home; facts of a stopped one are None."""

    running: bool
    url: str
    directory: str
    #: Why a running one cannot be used yet.
    problem: str | None = None
    pid: int | None = None
    version: str | None = None
    program: str | None = None
    started: dt.datetime | None = None
    memory_bytes: int | None = None
    keys: int | None = None


def ensure(settings: Settings) -> str:
    """Return the URL of the embedded Redis, after starting it when it does not run.

    Raises EmbeddedRedisError with the last lines of the server's log when it does not start.
    """
    place = find_place(settings)
    started, deadline = False, time.monotonic() + START_TIMEOUT
    while (answer := _ask(place)[0]) != "ready":
        if answer == "loading" or _ask(mending(place))[0] != "absent":
            deadline = time.monotonic() + START_TIMEOUT
        if time.monotonic() > deadline:
            raise EmbeddedRedisError(explain(place, "does not answer"))
        with try_lock(place) as lock:
            if lock is not None and started:
                raise EmbeddedRedisError(explain(place, "ended while it started"))
            if lock is not None and _ask(place)[0] == "absent":
                _start(place, lock)
                started = True
        time.sleep(POLL)
    return place.url


def status(settings: Settings) -> EmbeddedStatus:
    """Return what runs for these settings, without starting anything."""
    place = find_place(settings)
    answer, info = _ask(place)
    return EmbeddedStatus(
        running=answer != "absent",
        url=place.url,
        directory=str(place.directory),
        problem=PROBLEMS.get(answer),
        pid=_listener(place),
        version=info.get("redis_version"),
        program=info.get("executable"),
        started=_started(info),
        memory_bytes=info.get("used_memory"),
        keys=_count_keys(info) if info else None,
    )


def stop(settings: Settings) -> bool:
    """Stop the embedded Redis; return whether one ran. What it acknowledged stays on disk.

    Raises EmbeddedRedisError when it does not end.
    """
    place = find_place(settings)
    if _ask(place)[0] == "absent":
        return False
    pid = _listener(place)
    for request in (_shut_down, _terminate, _kill):
        request(place, pid)
        if _wait_for_end(place):
            return True
    raise EmbeddedRedisError(explain(place, "does not stop"))


def _client(place: Place) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(place.socket),
        socket_timeout=REPLY_TIMEOUT,
        socket_connect_timeout=REPLY_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def _ask(place: Place) -> tuple[Answer, dict[str, Any]]:
    """Return how the server answers to INFO, and what: nothing when it is not ready for that."""
    try:
        with _client(place) as client:
            info: dict[str, Any] = client.info()
    except redis.BusyLoadingError:
        return "loading", {}
    except redis.TimeoutError:
        return "silent", {}
    except redis.ConnectionError:
        return "absent", {}
    except redis.ResponseError:
        return "ready", {}  # such as BUSY: alive, and the commands that follow will say more
    return ("loading" if info["loading"] else "ready"), info


def _start(place: Place, lock: int) -> None:
    program = choose_program(read_text(place.written_by) or None)
    try:
        make_private(place.socket.parent)
        if place.pid.exists():
            _mend(program, place, lock)
        _run(_command(program, place), lock)
        place.written_by.write_text(str(program))
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip() or error.stdout.strip()
        raise EmbeddedRedisError(explain(place, f"cannot be started: {said}")) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedRedisError(explain(place, f"cannot be started: {error}")) from error


def _mend(program: Program, place: Place, lock: int) -> None:
    """After a crash: have Redis read its file once before anybody can write to it.

    Of a transaction that was torn apart Redis (7.0 and 8.2) drops the command that is not whole,
    and keeps those before it. What is written next would end that transaction, and the start after
    that take half of it for whole. A file that ends within a transaction is cut in front of it.
    """
    private = mending(place)
    command = [*_command(program, private), "--daemonize", "no"]
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with subprocess.Popen(command, pass_fds=(lock,), umask=0o077, **streams) as process:
        while process.poll() is None and _ask(private)[0] != "ready":
            time.sleep(POLL)
        _shut_down(private, process.pid)


def _run(command: list[str], lock: int) -> None:
    """Run a program that puts itself into the background, where it keeps the open lock."""
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT,
        pass_fds=(lock,),
        umask=0o077,
    )


def _command(program: Program, place: Place) -> list[str]:
    options = {
        "dir": str(place.directory),
        "port": "0",
        "unixsocket": str(place.socket),
        "unixsocketperm": "700",
        # Leaves the session of the terminal, so that Ctrl-C there does not reach it.
        "daemonize": "yes",
        "pidfile": str(place.pid),
        "logfile": str(place.log),
        "appendonly": "yes",
        # An acknowledged event survives a power cut; group commit keeps it fast.
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        # What was written since the last rewrite is what makes a start take long.
        "auto-aof-rewrite-min-size": "16mb",
        "auto-aof-rewrite-percentage": "50",
        "save": "",
        "maxmemory-policy": "noeviction",
        # Small nodes: a log of a few events costs 1 KB instead of 4.
        "stream-node-max-bytes": "1024",
        # What a worker with 100 slots has claimed is a table then, and not searched in a row.
        "hash-max-ziplist-entries": "64",
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
        with try_lock(place) as lock:
            if lock is not None:
                return True
        time.sleep(POLL)
    return False


def _started(info: dict[str, Any]) -> dt.datetime | None:
    if not info:
        return None
    started = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=info["uptime_in_seconds"])
    return started.replace(microsecond=0)


def _count_keys(info: dict[str, Any]) -> int:
    return sum(info[name]["keys"] for name in info if re.fullmatch(r"db\d+", name))
