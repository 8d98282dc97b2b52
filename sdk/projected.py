"""Read what is live of one workflow's projections, together with the end of its log. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

import msgspec

from ..core.definition import Definition
from ..core.events import Recorded
from ..core.log import EventLog, decode_entry
from ..projections.fold import fold
from ..projections.rebuilding import Live, Told, large_values, tell
from ..projections.walk import tag_set
from ..projections.workflow import WorkflowStatus, WorkflowView

STATUSES: tuple[str, ...] = get_args(WorkflowStatus)
PAGE = 1000


class Looked(msgspec.Struct, frozen=True):
    """What is live, and what the log says, of one moment."""

    live: Live
    told: Told


class LiveReader:
    """Reads workflow after workflow; which listings have whom is read once, at the beginning."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._redis: Any = log.redis
        self._listed: dict[str, set[str]] = {}

    async def index(self) -> None:
        """Find the listings by name and tag that each workflow is in, rightly or not."""
        for partition in range(self._log.keys.partitions):
            base = self._log.keys.flow(partition) + ":"
            for kind in ("named", "tagged"):
                async for key in self._redis.scan_iter(match=f"{base}{kind}:*", count=PAGE):
                    part = key.decode().removeprefix(base)
                    async for member, _ in self._redis.zscan_iter(key, count=PAGE):
                        self._listed.setdefault(member.decode(), set()).add(part)

    async def workflows(self) -> list[str]:
        """Ids of all that have a log, in order: listings are not believed."""
        base = self._log.keys.workflow("")
        found: set[str] = set()
        async for key in self._redis.scan_iter(match=f"{base}*:events", count=PAGE):
            found.add(key.decode().removeprefix(base).removesuffix(":events"))
        return sorted(found)

    async def marked(self, kind: str, name: str) -> list[str]:
        """Ids of workflows with a `shadow` or `former` of a projection."""
        base, end = self._log.keys.workflow(""), f":{kind}:{name}"
        found: set[str] = set()
        async for key in self._redis.scan_iter(match=f"{base}*{end}", count=PAGE):
            found.add(key.decode().removeprefix(base).removesuffix(end))
        return sorted(found)

    async def look(self, workflow: str) -> Looked | None:
        """None when it has no log. Raises what folding a damaged log raises."""
        events = await self._log.read(workflow)
        if not events:
            return None
        created = fold(workflow, events[:1])
        definition = await self._log.get_definition(created.definition_digest)
        parts = self._parts(created)
        live, news, left = await self._live(workflow, definition, parts, events[-1].version)
        events += news
        now = await self._payloads_of(workflow, events, definition, live)
        return Looked(live, await self._with_state(now, left))

    def _parts(self, created: WorkflowView) -> list[str]:
        own = [("named", created.name), *(tag_set(*tag) for tag in created.tags.items())]
        statuses = [("workflows", status) for status in STATUSES]
        parts = {":".join(one) for one in [("workflows",), *own, *statuses]}
        return sorted(parts | self._listed.get(created.id, set()))

    async def _live(
        self, workflow: str, definition: Definition, parts: Sequence[str], last: int
    ) -> tuple[Live, list[Recorded], int]:
        """What is live, the entries above `last`, and what is left to the state, ms."""
        keys = self._log.keys
        flow = keys.partition(workflow)
        steps = [step.id for step in definition.steps]
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xrange(keys.events(workflow), min=f"({last}-0")
            pipe.hgetall(keys.workflow(workflow, "meta"))
            pipe.pttl(keys.workflow(workflow, "state"))
            pipe.get(keys.workflow(workflow))
            pipe.lrange(keys.workflow(workflow, "steps"), 0, -1)
            pipe.hgetall(keys.workflow(workflow, "state"))
            pipe.hgetall(keys.workflow(workflow, "snapshot"))
            pipe.sismember(keys.flow(flow, "active"), workflow)
            for step in steps:
                pipe.smembers(keys.workflow(workflow, "step", step, "jobs"))
            for part in parts:
                pipe.zscore(keys.flow(flow, part), workflow)
            news, meta, left, shown, listed, state, snapshot, active, *rest = await pipe.execute()
        jobs, scores = rest[: len(steps)], rest[len(steps) :]
        live = Live(
            meta=_texts(meta),
            document=shown,
            steps=listed,
            jobs={
                step: {job.decode() for job in ids} for step, ids in zip(steps, jobs, strict=True)
            },
            state={key.decode(): value for key, value in state.items()},
            snapshot={key.decode(): value for key, value in snapshot.items()},
            listed={
                part: score for part, score in zip(parts, scores, strict=True) if score is not None
            },
            active=bool(active),
        )
        return live, [decode_entry(entry) for entry in news], left

    async def _payloads_of(
        self, workflow: str, events: Iterable[Recorded], definition: Definition, live: Live
    ) -> Told:
        kept = int(live.snapshot.get("v") or 0)
        told = tell(workflow, events, definition, shown=live.shown, snapshot=kept)
        names = sorted(large_values(told.now))
        if not names:
            return told
        key = self._log.keys.workflow(workflow, "blobs")
        values: list[bytes | None] = await self._redis.hmget(key, names)
        payloads = {name: data for name, data in zip(names, values, strict=True) if data}
        return msgspec.structs.replace(told, payloads=payloads)

    async def _with_state(self, told: Told, left: int) -> Told:
        """With what is left to the state; of an ended workflow it may be gone already."""
        if not told.now.ended or left > 0:
            return msgspec.structs.replace(told, state_ms=max(left, 0))
        seconds, _ = await self._redis.time()
        ttl = told.definition.state_ttl_s or self._log.settings.state_ttl
        over = (told.now.ended_ms or 0) + int(ttl * 1000) - seconds * 1000
        return msgspec.structs.replace(told, state_ms=over if over > 0 else None)


def _texts(found: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in found.items()}
