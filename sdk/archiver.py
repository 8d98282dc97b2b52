"""Write finished workflows to the archive once the time of their log is over, and let them go.

The order, never another: write the file, read it back, compare it byte by byte and check its
digests, then let go of the stream in one script that checks that the log is still the one that was
written.
Whoever is killed in between has lost nothing, and doing it again gives the same file. A log that is
damaged stays where it is: an archive is no place for what nobody has looked at.
"""

from __future__ import annotations

import gzip
from functools import partial

import anyio.to_thread
import msgspec
import structlog
from redis import exceptions

from ..core.archive import Storage
from ..core.errors import WorkflowNotFound
from ..core.log import EventLog
from ..projections.bundle import decode_history, encode_history
from ..projections.histories import History
from ..projections.tombstones import bury, encode_tombstone, path_of
from .archives import storage_of
from .histories import read_history

logger = structlog.get_logger()

#: Workflows that are looked up at a time.
PORTION = 100


class Kept(msgspec.Struct, frozen=True):
    """A workflow that was not archived, and why."""

    workflow: str
    reason: str


class Archiving(msgspec.Struct):
    """What one round came to. Bytes are those freed in Redis (of the log), and of the files."""

    count: int = 0
    redis_bytes: int = 0
    file_bytes: int = 0
    #: Those that are listed and not due yet.
    waiting: int = 0
    kept: list[Kept] = []


class NotArchived(Exception):
    """Raised with the reason why a workflow stays in Redis."""


async def archive_due(log: EventLog, partition: int, *, dry_run: bool = False) -> Archiving:
    """Archive what is due in a partition. Raises SettingsError."""
    done = Archiving()
    storage = storage_of(log)
    now_ms = await read_clock(log)
    key = log.keys.flow(partition, "archivable")
    done.waiting = await log.redis.zcount(key, f"({now_ms}", "+inf")
    while due := await _due(log, key, now_ms, len(done.kept) + (done.count if dry_run else 0)):
        for workflow in due:
            await _one(log, storage, workflow, now_ms, done, dry_run=dry_run)
    return done


async def _due(log: EventLog, key: str, now_ms: int, start: int) -> list[str]:
    """The next that are due; those that were kept stay at the front."""
    found: list[bytes] = await log.redis.zrangebyscore(
        key, "-inf", now_ms, start=start, num=PORTION
    )
    return [name.decode() for name in found]


async def _one(
    log: EventLog,
    storage: Storage | None,
    workflow: str,
    now_ms: int,
    done: Archiving,
    *,
    dry_run: bool,
) -> None:
    size: int = await log.redis.memory_usage(log.keys.events(workflow)) or 0
    try:
        if storage is None:
            raise NotArchived("AGENTAINER_ARCHIVE is not set here")
        if not dry_run:
            done.file_bytes += await archive(log, storage, workflow, now_ms)
    except exceptions.RedisError:
        raise
    except Exception as error:  # whatever is wrong with it is wrong with this one workflow
        reason = str(error) or type(error).__name__
        logger.warning("archive.kept", workflow=workflow, reason=reason)
        done.kept = [*done.kept, Kept(workflow, reason)]
    else:
        done.count += 1
        done.redis_bytes += size


async def archive(log: EventLog, storage: Storage, workflow: str, now_ms: int) -> int:
    """Archive one workflow; size of its file. Raises NotArchived, ArchiveUnavailable."""
    try:
        history = await read_history(log, workflow, blobs=True)
    except WorkflowNotFound:
        await log.scripts.archive(workflow, version=0, digest="", tombstone="", steps=[], jobs=[])
        return 0
    view = history.fold()
    if history.problems:
        raise NotArchived(f"its log is damaged: {history.problems[0]}")
    if not view.ended or history.definition is None:
        raise NotArchived(f"it is {view.status}")
    path = path_of(view, log.settings.namespace)
    size = await anyio.to_thread.run_sync(partial(_write, storage, path, history))
    tombstone = bury(
        view,
        history.definition,
        archive=log.settings.archive or "",
        path=path,
        size=size,
        now_ms=now_ms,
    )
    word = await log.scripts.archive(
        workflow,
        version=view.version,
        digest=view.digest,
        tombstone=encode_tombstone(tombstone).decode(),
        steps=[step.id for step in history.definition.steps],
        jobs=list(view.jobs),
    )
    if word == "moved":
        raise NotArchived("its log has changed since it was written; the next round tries again")
    return size


def _write(storage: Storage, path: str, history: History) -> int:
    """Write a history, and believe only what can be read back. Blocks."""
    data = encode_history(history)
    packed = gzip.compress(data, mtime=0)
    storage.write(path, packed)
    read = storage.read(path)
    if read != packed or gzip.decompress(read) != data:
        raise NotArchived(f"{path} does not read back as it was written")
    again = decode_history(read)
    if again.problems or again.events != history.events or again.blobs != history.blobs:
        raise NotArchived(f"{path} does not tell what the log tells")
    return len(packed)


async def read_clock(log: EventLog) -> int:
    """Ms by the clock of Redis."""
    seconds, micros = await log.connection.call(log.redis.time)
    return int(seconds) * 1000 + int(micros) // 1000
