"""The files of the embedded Redis of one user and home: where they are, and who may touch them."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from .errors import EmbeddedRedisError
from .settings import Settings

#: Bytes that every platform accepts as the path of a unix socket.
SOCKET_PATH_LIMIT = 100


class Place(msgspec.Struct, frozen=True):
    """Where the embedded Redis of one home lives."""

    directory: Path
    socket: Path

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    @property
    def lock(self) -> Path:
        return self.directory / "server.lock"

    @property
    def pid(self) -> Path:
        """A server that is stopped removes it, one that is killed does not."""
        return self.directory / "redis.pid"

    @property
    def log(self) -> Path:
        return self.directory / "redis.log"

    @property
    def written_by(self) -> Path:
        return self.directory / "written-by"


def find_place(settings: Settings) -> Place:
    """Return the place for a home, with the socket elsewhere when its path would be too long."""
    directory = settings.home_path / "redis"
    path = directory / "redis.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        path = _short_directory(directory) / "redis.sock"
    return Place(directory, path)


def mending(place: Place) -> Place:
    """The same files, and a socket that nobody connects to."""
    return Place(place.directory, place.socket.with_name("mending.sock"))


def _short_directory(directory: Path) -> Path:
    # Neither TMPDIR nor XDG_RUNTIME_DIR: a login shell and a cron job must find the same socket.
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    return Path(f"/tmp/agentainer-{os.geteuid()}-{name}")  # noqa: S108 made private before use


@contextmanager
def try_lock(place: Place) -> Generator[int | None]:
    """Take the server's lock for a moment; yields None when a server or a starter has it."""
    try:
        make_private(place.directory)
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


def make_private(directory: Path) -> None:
    """Make the folder readable for its user only; raises PermissionError when it is another's."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = directory.lstat()
    if facts.st_uid != os.geteuid():
        raise PermissionError(f"it belongs to user {facts.st_uid}, you are user {os.geteuid()}")
    if directory.is_symlink():
        raise PermissionError("it is a symbolic link")
    if facts.st_mode & 0o077:
        directory.chmod(0o700)


def explain(place: Place, problem: str) -> str:
    """Say what is wrong with the server, with the last lines of its log."""
    tail = read_text(place.log).splitlines()[-8:]
    lines = "".join(f"\n  | {line}" for line in tail)
    log = f"its log {place.log} ends:{lines}" if tail else f"its log {place.log} is empty"
    return f"the embedded Redis in {place.directory} {problem}; {log}"


def read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
