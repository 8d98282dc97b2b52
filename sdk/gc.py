"""Collect what nobody needs any more: what is due for the archive, dead members, leftovers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio.to_thread

from ..core.log import EventLog
from ..projections.catalogue import PROJECTIONS
from .archiver import Archiving, archive_due
from .archives import storage_of
from .projected import LiveReader
from .rebuild import ALL, KEPT_MS
from .retention import Collected, tidy

#: A shadow that is younger may belong to a rebuild that goes on.
SHADOW_AGE_MS = 3600 * 1000
#: A file that is older is written by nobody any more.
PART_AGE_S = 3600
PAGE = 1000
#: Parts of a key that say that the workflow is there.
THERE = ("events", "meta", "archived")


async def collect(log: EventLog, *, dry_run: bool = False) -> Collected:
    """Go through all partitions.

    Deletes nothing that a log still needs. Raises SettingsError, ArchiveUnavailable.
    """
    found = Collected(dry_run, Archiving())
    for partition in range(log.keys.partitions):
        _add(found.archived, await archive_due(log, partition, dry_run=dry_run))
        found.members += await tidy(log, partition, dry_run=dry_run)
    if storage := storage_of(log):
        clear = partial(storage.clear, PART_AGE_S, dry_run=dry_run)
        found.parts = await anyio.to_thread.run_sync(clear)
    await _shadows(log, found)
    await _leftovers(log, found)
    return found


def _add(total: Archiving, part: Archiving) -> None:
    total.count += part.count
    total.redis_bytes += part.redis_bytes
    total.file_bytes += part.file_bytes
    total.waiting += part.waiting
    total.kept = [*total.kept, *part.kept]


async def _shadows(log: EventLog, found: Collected) -> None:
    reader = LiveReader(log)
    under_way = await _rebuilding(log)
    for name in (one.name for one in PROJECTIONS):
        found.former += len(await reader.marked("former", name))
        for workflow in [] if under_way else await reader.marked("shadow", name):
            size = await log.scripts.drop_shadow(
                workflow, name=name, kept_ms=KEPT_MS, age_ms=SHADOW_AGE_MS, dry=found.dry_run
            )
            found.shadows += size > 0
            found.shadow_bytes += size


async def _rebuilding(log: EventLog) -> bool:
    """Whether there is a rebuild to finish."""
    names = [ALL, *(one.name for one in PROJECTIONS)]
    phases = [await log.redis.hget(log.keys.shared(f"rebuild:{name}"), "phase") for name in names]
    return any(phase in (b"build", b"switch") for phase in phases)


async def _leftovers(log: EventLog, found: Collected) -> None:
    there = {workflow async for workflow, part in _parts(log) if part in THERE}
    parts: dict[str, list[str]] = {}
    async for workflow, part in _parts(log):
        if workflow not in there:
            parts.setdefault(workflow, []).append(part)
    for workflow, names in parts.items():
        keys, size = await log.scripts.clear_leftovers(workflow, parts=names, dry=found.dry_run)
        found.leftovers += keys
        found.leftover_bytes += size


async def _parts(log: EventLog) -> AsyncIterator[tuple[str, str]]:
    """(workflow, part of its key) of every key of a workflow; "" is the document."""
    base = log.keys.workflow("")
    async for key in log.redis.scan_iter(match=f"{base}*", count=PAGE):
        workflow, _, part = key.decode().removeprefix(base).partition(":")
        yield workflow, part
