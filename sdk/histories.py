"""Read the history of a workflow from Redis, damaged or not. Only reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from redis import exceptions

from ..core.entries import number_of, text_of
from ..core.errors import WorkflowNotFound
from ..core.events import Recorded, WorkflowCreated
from ..core.log import EventLog
from ..projections.histories import History, Problem, Transcript

#: Where else a workflow may be: returns its history, or None when it is not there either.
Elsewhere = Callable[[EventLog, str], Awaitable[History | None]]
ELSEWHERE: list[Elsewhere] = []
#: Payloads that one call reads.
PAYLOADS = 50


async def read_history(
    log: EventLog, workflow: str, *, blobs: bool = False, entries: bool = True
) -> History:
    """The history of a workflow, with its payloads when asked. Raises WorkflowNotFound.

    Without `entries` it cannot be exported, and is read faster.
    """
    reader = _Reader(log, workflow)
    # What is beside the log comes first: a log that goes on meanwhile is only longer than that.
    marks = await reader.marks()
    transcript = Transcript(workflow, keep_entries=entries)
    await reader.read_log(transcript)
    if not transcript.events and not reader.problems:
        for look in ELSEWHERE:
            if found := await look(log, workflow):
                return found
        raise WorkflowNotFound(workflow)
    stored = await reader.definition(transcript.events)
    history = transcript.history(stored, await reader.blobs() if blobs else {})
    history.problems += [*reader.problems, *say_rolled_back(history, marks)]
    return history


async def read_payloads(log: EventLog, workflow: str, names: set[str]) -> dict[str, bytes]:
    """Payloads of these digests, as far as they are there."""
    redis: Any = log.redis
    key, wanted = log.keys.workflow(workflow, "blobs"), sorted(names)
    found: dict[str, bytes] = {}
    try:
        for at in range(0, len(wanted), PAYLOADS):
            some = wanted[at : at + PAYLOADS]
            data: list[bytes | None] = await redis.hmget(key, some)
            found |= {name: one for name, one in zip(some, data, strict=True) if one is not None}
    except exceptions.ResponseError:  # a key of another type
        pass
    return found


async def read_lane(log: EventLog, workflow: str) -> str:
    """The lane that a workflow is in; empty where nothing says it."""
    redis: Any = log.redis
    try:
        return text_of(await redis.hget(log.keys.workflow(workflow, "meta"), "lane"))
    except exceptions.ResponseError:  # a key of another type
        return ""


class Marks(msgspec.Struct, frozen=True):
    """What is said of a log beside it: its last version and digest, the document's version."""

    version: int | None = None
    digest: str = ""
    shown: int = 0


class _Document(msgspec.Struct):
    version: int = 0


class _Reader:
    """The keys of one workflow. One of a wrong type is reported, and counts as not there."""

    def __init__(self, log: EventLog, workflow: str) -> None:
        self._log = log
        self._redis: Any = log.redis
        self._workflow = workflow
        self.problems: list[Problem] = []

    async def read_log(self, transcript: Transcript) -> None:
        read = self._read_pages(transcript)
        await self._read(self._log.keys.events(self._workflow), "stream", read)

    async def _read_pages(self, transcript: Transcript) -> None:
        async for page in self._log.pages(self._workflow):
            transcript.add_raw(page)

    async def definition(self, events: Sequence[Recorded]) -> bytes | None:
        created = events[0].event if events else None
        if not isinstance(created, WorkflowCreated):
            return None
        key = self._log.keys.definitions
        data: bytes | None
        data = await self._read(key, "hash", self._redis.hget(key, created.definition))
        return data

    async def blobs(self) -> dict[str, bytes]:
        key = self._log.keys.workflow(self._workflow, "blobs")
        found: Mapping[bytes, bytes] | None
        found = await self._read(key, "hash", self._redis.hgetall(key))
        return {name.decode(): data for name, data in (found or {}).items()}

    async def marks(self) -> Marks:
        key = self._log.keys.workflow(self._workflow, "meta")
        found: list[bytes | None] | None
        found = await self._read(key, "hash", self._redis.hmget(key, "v", "dg"))
        version, digest = found or [None, None]
        return Marks(number_of(version), text_of(digest), await self._shown())

    async def _shown(self) -> int:
        """The version of the document; 0 when there is none that can be read."""
        key = self._log.keys.workflow(self._workflow)
        data: bytes | None = await self._read(key, "string", self._redis.get(key))
        try:
            return msgspec.json.decode(data, type=_Document).version if data else 0
        except msgspec.DecodeError as error:
            self.problems.append(Problem(None, f"its document cannot be read: {error}"))
            return 0

    async def _read(self, key: str, kind: str, answer: Awaitable[Any]) -> Any:
        """What Redis answers; None when the key is of another type."""
        try:
            return await answer
        except exceptions.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            self.problems.append(Problem(None, f"key {key} is not a {kind}: nothing is read of it"))
            return None


def say_rolled_back(history: History, marks: Marks) -> Iterator[Problem]:
    """A log that lost its end is shorter than what else there is of the workflow, or other."""
    last, known = history.version, marks.version
    if known is None:
        yield Problem(None, "the key `meta` is missing or damaged: commands do not find it")
    elif known > last:
        yield Problem(last + 1, f"it is missing: the log has lost its end, which was event {known}")
    else:
        yield from _say_other(history, known, marks.digest)
    if marks.shown > max(last, known or 0):
        text = f"it is missing: the log was rolled back, the document tells of event {marks.shown}"
        yield Problem(last + 1, text)


def _say_other(history: History, version: int, digest: str) -> Iterator[Problem]:
    found = next((one for one in reversed(history.events) if one.version == version), None)
    if found is not None and found.digest != digest:
        text = f"its digest is {found.digest or 'missing'}, known was {digest}"
        yield Problem(version, f"{text}: the log was rolled back and went on otherwise")
