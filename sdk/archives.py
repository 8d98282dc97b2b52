"""Read archived workflows as if they were here: tombstones say where their files are."""

from __future__ import annotations

from collections import OrderedDict

import anyio.to_thread

from ..core.archive import Storage, open_storage
from ..core.errors import ArchiveUnavailable
from ..core.events import Recorded
from ..core.log import EventLog
from ..projections.bundle import decode_history
from ..projections.histories import History
from ..projections.tombstones import Tombstone, decode_tombstone

#: Histories that are kept in memory, for who reads one page by page.
KEPT = 4


async def read_tombstone(log: EventLog, workflow: str) -> Tombstone | None:
    key = log.keys.workflow(workflow, "archived")
    data: bytes | None = await log.connection.call(lambda: log.redis.get(key))
    return decode_tombstone(data) if data else None


async def read_file(log: EventLog, tombstone: Tombstone) -> bytes:
    """The file of an archived workflow: where the archive is now, or where it was then.

    Raises ArchiveUnavailable, SettingsError.
    """
    try:
        return await _read(log.settings.archive or tombstone.archive, tombstone.path)
    except ArchiveUnavailable:
        if log.settings.archive in (None, tombstone.archive):
            raise
        return await _read(tombstone.archive, tombstone.path)


async def _read(archive: str, path: str) -> bytes:
    return await anyio.to_thread.run_sync(lambda: open_storage(archive).read(path))


def storage_of(log: EventLog) -> Storage | None:
    """The archive of the settings. Raises SettingsError."""
    return open_storage(log.settings.archive) if log.settings.archive else None


async def remove_file(log: EventLog, tombstone: Tombstone) -> None:
    """Raises ArchiveUnavailable, SettingsError."""
    storage = open_storage(log.settings.archive or tombstone.archive)
    await anyio.to_thread.run_sync(lambda: storage.remove(tombstone.path))


class Archived:
    """What `EventLog` asks for logs that are no longer here."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._kept: OrderedDict[str, History] = OrderedDict()

    async def events(self, workflow: str) -> list[Recorded]:
        history = await self.history(workflow)
        return history.events if history else []

    async def blob(self, workflow: str, name: str) -> bytes | None:
        history = await self.history(workflow)
        return history.blobs.get(name) if history else None

    async def history(self, workflow: str) -> History | None:
        """None when it is not archived. Raises ArchiveUnavailable, BundleDamaged, SettingsError."""
        tombstone = await read_tombstone(self._log, workflow)
        if tombstone is None:
            return None
        if tombstone.path not in self._kept:
            history = decode_history(await read_file(self._log, tombstone))
            self._kept[tombstone.path] = history
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[tombstone.path]
