"""The event log of workflows on Redis: read, follow, and what lies beside it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from typing import Any, Protocol

import anyio
import msgspec

from .connection import Connection
from .definition import Definition
from .endings import Endings
from .entries import decode_entry as decode_entry
from .entries import decode_raw as decode_raw
from .errors import SettingsError, WorkflowNotFound
from .events import Blob, Recorded, WorkflowCreated, decode_event
from .ids import digest, new_key
from .keys import Keys
from .metrics import Instruments
from .scripts import Scripts
from .settings import Settings
from .tail import Entry

#: Entries read at a time. Few enough for the collector of garbage not to be woken by their lists,
#: of which each has two; it begins at 700.
PAGE = 300

_decode_definition = msgspec.json.Decoder(Definition).decode


class Archive(Protocol):
    """Reads workflows whose log has been archived; empty and None: it is not there either."""

    async def events(self, workflow: str) -> list[Recorded]: ...

    async def blob(self, workflow: str, name: str) -> bytes | None: ...


class EventLog:
    """One Redis: its connection, its keys, its scripts, and typed reading."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.connection = Connection(url)
        self.keys = Keys(settings.namespace)
        self.endings = Endings(self.connection, self.keys)
        self.scripts = Scripts(self.connection, self.keys, replicas=settings.replicas)
        #: Who gives commands, as events say it.
        self.writer = "client"
        self._definitions: dict[str, Definition] = {}
        #: Where workflows are whose log is no longer here.
        self.archive: Archive | None = None

    @property
    def instruments(self) -> Instruments | None:
        """What counts in this process; None: nobody asks, so nothing does."""
        return self.scripts.instruments

    @instruments.setter
    def instruments(self, instruments: Instruments | None) -> None:
        self.scripts.instruments = instruments

    @property
    def redis(self) -> Any:
        """For commands that only read. redis-py's types do not tell its async answers."""
        return self.connection.redis

    async def open(self, *, patience: float = 0) -> None:
        """Wait up to `patience` seconds for a Redis that is away.

        Raises RedisUnavailable; SettingsError when there are not as many partitions as asked.
        """
        await self.connection.open(durability=self.settings.durability, patience=patience)
        self.keys.partitions = await self._fix_partitions(self.settings.partitions)

    async def keep_partitions(self) -> None:
        """Fix their number again, should Redis have lost it.

        Raises SettingsError when another number has been fixed meanwhile.
        """
        await self._fix_partitions(self.keys.partitions)

    async def _fix_partitions(self, wanted: int | None) -> int:
        """How many partitions there are. Whoever comes first fixes it, others only read it."""
        key = self.keys.fixed_partitions
        found: bytes | None = await self.connection.call(lambda: self.redis.get(key))
        if found is None:
            await self.connection.call(lambda: self.redis.set(key, wanted or 1, nx=True))
            found = await self.connection.call(lambda: self.redis.get(key))
        number = int(found or wanted or 1)
        if wanted not in (None, number):
            raise SettingsError(
                f"cannot use the settings: AGENTAINER_PARTITIONS: expected {number}, fixed at the "
                f"first use of this Redis and namespace, got {wanted}. Unset it; another number "
                "needs another AGENTAINER_NAMESPACE or Redis."
            )
        return number

    async def close(self) -> None:
        await self.endings.close()
        await self.connection.close()

    async def read(
        self, workflow: str, *, after: int = 0, limit: int | None = None, archived: bool = False
    ) -> list[Recorded]:
        """Events of a workflow with a version above `after`, in order.

        A log that is not here may be in the archive: looked at when it is read from its beginning,
        or with `archived`.
        """
        events: list[Recorded] = []
        async for page in self.pages(workflow, after, limit):
            events += [decode_raw(one) for one in page]
        if events or self.archive is None or not (archived or after == 0):
            return events
        found = await self.archive.events(workflow)
        return [one for one in found if one.version > after][:limit]

    async def pages(
        self, workflow: str, after: int = 0, limit: int | None = None
    ) -> AsyncGenerator[list[Any], None]:
        """Entries as Redis answers them; the next page is on its way while one is used."""
        left = limit if limit is not None else math.inf
        page = asyncio.create_task(self._range(workflow, f"{after}-0", min(PAGE, left)))
        while True:
            raw = await page
            left -= len(raw)
            if len(raw) < PAGE or left <= 0:
                yield raw
                return
            page = asyncio.create_task(self._range(workflow, raw[-1][0].decode(), min(PAGE, left)))
            await asyncio.sleep(0)
            yield raw

    async def read_one(self, workflow: str, version: int) -> Recorded:
        """Raises WorkflowNotFound when the log has no such version."""
        events = await self.read(workflow, after=version - 1, limit=1, archived=True)
        if not events or events[0].version != version:
            raise WorkflowNotFound(workflow)
        return events[0]

    async def read_last(self, workflow: str) -> Recorded:
        """The newest event. Raises WorkflowNotFound."""
        found = await self._entries("XREVRANGE", self.keys.events(workflow), "+", "-", 1)
        if found:
            return decode_raw(found[0])
        events = await self.archive.events(workflow) if self.archive else []
        if not events:
            raise WorkflowNotFound(workflow)
        return events[-1]

    async def _range(self, workflow: str, after: str, count: float) -> list[Any]:
        key = self.keys.events(workflow)
        return await self._entries("XRANGE", key, f"({after}", "+", int(count))

    async def _entries(self, command: str, key: str, one: str, other: str, n: int) -> list[Any]:
        """Entries as Redis answers them; see `entry_of`."""
        wire = self.connection.wire
        return await self.connection.call(lambda: wire.call(command, key, one, other, "COUNT", n))

    async def follow(self, workflow: str, *, after: int = 0) -> AsyncIterator[list[Recorded]]:
        """Batches of events as they come, from version `after` on, for ever."""
        last = {self.keys.events(workflow): f"{after}-0"}
        async for _, entries in self.connection.follow(last):
            yield [decode_entry(entry) for entry in entries]

    async def exists(self, workflow: str) -> bool:
        """Whether there is a workflow of this id, here or in the archive."""
        keys = (self.keys.events(workflow), self.keys.workflow(workflow, "archived"))
        return bool(await self.connection.call(lambda: self.redis.exists(*keys)))

    async def put_definition(self, definition: Definition) -> None:
        await self.connection.call(
            lambda: self.redis.hsetnx(self.keys.definitions, definition.digest, definition.json)
        )

    async def get_definition(self, name: str) -> Definition:
        if name not in self._definitions:
            data = await self.connection.call(lambda: self.redis.hget(self.keys.definitions, name))
            if data is None:
                raise WorkflowNotFound(f"(definition {name})")
            self._definitions[name] = _decode_definition(data)
        return self._definitions[name]

    async def put_blob(self, workflow: str, data: bytes) -> Blob:
        """Store a payload beside the log under its digest. Storing it again changes nothing."""
        blob = Blob(digest(data), len(data))
        await self.scripts.put_blob(workflow, digest=blob.digest, data=data)
        return blob

    async def get_blob(self, workflow: str, name: str) -> bytes:
        key = self.keys.workflow(workflow, "blobs")
        data: bytes | None = await self.connection.call(lambda: self.redis.hget(key, name))
        if data is None and self.archive is not None:
            data = await self.archive.blob(workflow, name)
        if data is None:
            raise WorkflowNotFound(f"{workflow} (payload {name})")
        return data

    async def settled(self, workflow: str, effect: str) -> tuple[str, str, str] | None:
        """(job, event type, event data) of an agent by the name of its effect; None: there is none.

        The type is empty as long as it has not ended.
        """
        key = self.keys.workflow(workflow, "effects")
        value: bytes | None = await self.connection.call(lambda: self.redis.hget(key, effect))
        if value is None:
            return None
        _, job, kind, data = [*value.decode().split(" ", 3), "", ""][:4]
        return job, kind, data

    async def status(self, workflow: str) -> str:
        """The status the scripts go by; empty when there is no such workflow."""
        key = self.keys.workflow(workflow, "meta")
        word: bytes | None = await self.connection.call(lambda: self.redis.hget(key, "status"))
        return (word or b"").decode()

    async def name(self, workflow: str) -> str:
        """The name of a workflow's definition. Raises WorkflowNotFound."""
        created = (await self.read_one(workflow, 1)).event
        return created.name if isinstance(created, WorkflowCreated) else ""

    async def is_unsettled(self, workflow: str, job: str) -> bool:
        """Whether an agent has yet to end."""
        key = self.keys.workflow(workflow, "jobs")
        return bool(await self.connection.call(lambda: self.redis.hexists(key, job)))

    async def is_stopping(self, workflow: str, job: str) -> bool:
        """Whether an agent is to be stopped and has yet to end."""
        key = self.keys.workflow(workflow, "jobs")
        data: bytes | None = await self.connection.call(lambda: self.redis.hget(key, job))
        return data is not None and msgspec.json.decode(data)["state"] == "stopping"

    async def may_begin(self, workflow: str, job: str, token: str) -> bool:
        """Whether an agent is still wanted, and its launcher the one with this claim."""
        key = self.keys.workflow(workflow, "jobs")
        data: bytes | None = await self.connection.call(lambda: self.redis.hget(key, job))
        record = msgspec.json.decode(data) if data else {"token": None}
        return bool(record["token"] == token and record["state"] != "stopping")

    async def active(
        self, partition: int, lane: str, *, besides: Collection[str] = ()
    ) -> list[str]:
        """Ids of the workflows of a lane that have not ended, without those of `besides`."""
        key = self.keys.flow(partition, "active")
        names: set[bytes] = await self.connection.call(lambda: self.redis.smembers(key))
        others = sorted({name.decode() for name in names}.difference(besides))
        lanes: dict[str, str] = {}
        for first in range(0, len(others), PAGE):
            async with anyio.create_task_group() as tasks:
                for name in others[first : first + PAGE]:
                    tasks.start_soon(self._find_lane, name, lanes)
        return [name for name in others if lanes[name] == lane]

    async def _find_lane(self, workflow: str, lanes: dict[str, str]) -> None:
        key = self.keys.workflow(workflow, "meta")
        lane: bytes | None = await self.connection.call(lambda: self.redis.hget(key, "lane"))
        lanes[workflow] = (lane or b"").decode()

    async def read_logs(self, workflow: str, job: str, *, last: int | None = None) -> list[str]:
        """Lines of an agent's output, oldest first; only the last ones when `last` is given."""
        key = self.keys.workflow(workflow, "job", job, "logs")
        entries: list[Entry] = await self.connection.call(
            lambda: self.redis.xrevrange(key, count=last)
        )
        return [fields[b"text"].decode() for _, fields in reversed(entries)]

    async def installation(self) -> str:
        """The name of this Redis and namespace, made once; labels of containers carry it."""
        key = self.keys.installation
        while True:  # Redis may forget it before it is read
            await self.connection.call(lambda: self.redis.set(key, new_key()[:12], nx=True))
            name: bytes | None = await self.connection.call(lambda: self.redis.get(key))
            if name is not None:
                return name.decode()


class FeedEntry(msgspec.Struct, frozen=True):
    """What one append posted: consecutive events of one workflow."""

    id: str
    workflow: str
    lane: str
    first: int
    #: Version and digest of the last event, and digest of the entry before the first.
    last: tuple[int, str]
    previous: str
    ts: int
    by: str
    posts: bytes

    def events(self) -> list[Recorded]:
        """Decode what was posted; nothing when it cannot be: the log itself will tell."""
        try:
            posts = _decode_posts(self.posts)
        except msgspec.DecodeError:
            return []
        version, digest = self.last
        return [
            Recorded(
                number,
                self.ts,
                decode_event(kind, data),
                self.by,
                cause,
                digest if number == version else "",
            )
            for number, (kind, cause, data) in enumerate(posts, self.first)
        ]


_decode_posts = msgspec.json.Decoder(list[tuple[str, int | None, msgspec.Raw]]).decode


def decode_feed_entry(entry: Entry) -> FeedEntry:
    name, fields = entry
    first, size = int(fields[b"v"]), int(fields[b"n"])
    return FeedEntry(
        id=name.decode(),
        workflow=fields[b"w"].decode(),
        lane=fields[b"lane"].decode(),
        first=first,
        last=(first + size - 1, fields[b"dg"].decode()),
        previous=fields[b"prev"].decode(),
        ts=int(fields[b"ts"]),
        by=fields[b"by"].decode(),
        posts=fields[b"e"],
    )
