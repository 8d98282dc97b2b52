"""The files of one job on this host.

    <root>/<name>/            only for us; flock on it is the lock of the job
        job.json              whose folder it is
        starting              its container was asked to start, perhaps by one that died
        stopped.<kind>        somebody asked the job to stop
        share/                what the agent may write
            result.json

Every process that deals with a job finds the same folder, because its name is derived from
(installation, workflow, job). The lock is the kernel's, so it dies with its holder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import get_args

import anyio
import msgspec

from .answer import StopKind
from .contract import Launch

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 120
_RETRY_S = 0.01


class Identity(msgspec.Struct, frozen=True):
    """Whose folder it is."""

    installation: str
    workflow: str
    job: str


def job_name(installation: str, workflow: str, job: str) -> str:
    """Derive the one name of a job, legal for Docker and for files.

    Plain short parts are joined by dots, so different jobs have different names. Anything else
    gets its illegal characters replaced, and a fourth part with a digest that tells it apart.
    """
    parts = (installation, workflow, job)
    name = ".".join(("agentainer", *parts))
    if len(name) < _LONGEST and all(map(_PLAIN.fullmatch, parts)):
        return name
    digest = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:20]
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[: _LONGEST - len(digest) - 1]
    return f"{readable}.{digest}"


class JobFolder:
    """One job's folder below `root`, which may or may not be there yet."""

    def __init__(self, root: Path, installation: str, workflow: str, job: str) -> None:
        self.name = job_name(installation, workflow, job)
        self.path = root / self.name
        self.share = self.path / "share"
        self.result = self.share / "result.json"
        self._identity = Identity(installation, workflow, job)

    @asynccontextmanager
    async def locked(self) -> AsyncGenerator[int, None]:
        """Hold the job, creating the folder. Gives the handle whose closing frees the lock.

        Polls, because a blocking flock could use up every worker thread that its holder needs.
        """
        while (handle := _try_lock(self.path)) is None:  # noqa: ASYNC110 -- see above
            await anyio.sleep(_RETRY_S)
        try:
            yield handle
        finally:
            os.close(handle)

    def prepare(self) -> None:
        """Make what a job needs. The agent may run as any user, so `share` is open to all; the
        folder around it is closed to everybody but us."""
        self.share.mkdir(exist_ok=True)
        self.share.chmod(0o777)
        (self.path / "job.json").write_bytes(msgspec.json.encode(self._identity))

    @property
    def is_prepared(self) -> bool:
        """Whether a start got so far that there may be something to adopt."""
        return (self.path / "job.json").exists()

    def exists(self) -> bool:
        return self.path.is_dir()

    def mark_starting(self) -> None:
        (self.path / "starting").touch()

    @property
    def starting(self) -> bool:
        return (self.path / "starting").exists()

    def mark_stopped(self, kind: StopKind) -> None:
        """Note that it is us who end the job, for whoever will see the end."""
        with suppress(FileNotFoundError):
            (self.path / f"stopped.{kind}").touch()

    @property
    def stopped(self) -> StopKind | None:
        kinds: tuple[StopKind, ...] = get_args(StopKind)
        return next((kind for kind in kinds if (self.path / f"stopped.{kind}").exists()), None)

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody stopped the job before it had ended by itself, or was over its time."""
        return self.stopped == "cancelled"

    def remove(self) -> None:
        """Delete everything, with the lock held.

        Only what an agent nested in folders of another user can resist a launcher without rights.
        """
        shutil.rmtree(self.path, ignore_errors=True)


def folder_of(root: Path, installation: str, launch: Launch) -> JobFolder:
    return JobFolder(root, installation, launch.workflow, launch.job)


def remaining(root: Path, installation: str) -> list[tuple[str, str]]:
    """List (workflow, job) of the folders of an installation."""
    if not root.is_dir():
        return []
    found = [_named(path) for path in root.iterdir() if path.is_dir()]
    return [(one.workflow, one.job) for one in found if one and one.installation == installation]


def _identity(path: Path) -> Identity | None:
    try:
        return msgspec.json.decode((path / "job.json").read_bytes(), type=Identity)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _named(path: Path) -> Identity | None:
    """Read whose folder it is; delete that of a process that died before it could write it."""
    identity = _identity(path)
    if identity is None and (handle := _try_lock(path)) is not None:
        identity = _identity(path)
        if identity is None:
            shutil.rmtree(path, ignore_errors=True)
        os.close(handle)
    return identity


def _try_lock(path: Path) -> int | None:
    """Lock the folder, or give None when somebody else has it or deleted it in between."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, FileExistsError):  # it was there, and is no more
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None
