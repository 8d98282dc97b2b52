"""Read for `check` what Redis keeps of workflows beside their logs. Only reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ..core import keys as spelled
from ..core.log import EventLog
from ..projections.invariants import (
    Counters,
    Graph,
    Kept,
    Lane,
    Partition,
    Raw,
    Shared,
    Violation,
    check_owned,
    check_places,
    decode_graph,
    owned,
)

PAGE = 1000

_decode: Any = msgspec.json.decode
_LANE = re.compile(r"flow:(\d+):(shared|run:[^:]+):(timers|ring|jobs|feed)(:.+)?")
_SESSION = re.compile(r"flow:(\d+):session:(.+)")


class KeyReader:
    """The keys of one Redis and namespace."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._keys = log.keys
        self._redis: Any = log.redis
        self._graphs: dict[str, Graph] = {}

    async def names(self) -> list[str]:
        """All keys of workflows and of the flow, without their prefix."""
        prefix = self._keys.prefix
        found: set[str] = set()
        for kind in ("workflow", "flow"):
            async for name in self._redis.scan_iter(match=f"{prefix}{kind}:*", count=PAGE):
                found.add(name.decode().removeprefix(prefix))
        return sorted(found)

    async def entries(self, key: str, after: str = "-") -> list[Raw]:
        """All entries of a stream, as Redis has them."""
        found: list[Raw] = []
        while page := await self._redis.xrange(key, min=after, count=PAGE):
            found += page
            after = "(" + page[-1][0].decode()
        return found

    async def graph(self, digest: str) -> Graph:
        """The stored definition, or an empty one when it is not there."""
        if digest not in self._graphs:
            data: bytes | None = await self._redis.hget(self._keys.definitions, digest)
            self._graphs[digest] = decode_graph(data) if data else Graph()
        return self._graphs[digest]

    async def kept(self, workflow: str, steps: Iterable[str], last: str) -> tuple[Kept, list[Raw]]:
        """What is kept of a workflow, and its entries above `last`, all of one moment."""
        names = list(steps)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xrange(self._keys.events(workflow), min=last)
            for command, part in [("hgetall", "meta"), ("hgetall", "jobs"), ("hgetall", "timers")]:
                getattr(pipe, command)(self._keys.workflow(workflow, part))
            pipe.lrange(self._keys.workflow(workflow, "held_jobs"), 0, -1)
            pipe.hgetall(self._keys.workflow(workflow, "state"))
            pipe.get(self._keys.workflow(workflow))
            pipe.lrange(self._keys.workflow(workflow, "steps"), 0, -1)
            for step in names:
                pipe.lrange(self._keys.workflow(workflow, "ready", step), 0, -1)
                pipe.hgetall(self._keys.workflow(workflow, "leased", step))
                pipe.smembers(self._keys.workflow(workflow, "step", step, "jobs"))
            news, meta, jobs, timers, held, state, document, shown, *rest = await pipe.execute()
        kept = Kept(
            meta=_texts(meta),
            jobs={job: _decode(record) for job, record in _texts(jobs).items()},
            timers=_texts(timers),
            held_jobs=[one.decode() for one in held],
            state={name: _decode(value) for name, value in _texts(state).items()},
            document=_decode(document) if document else None,
            steps=[_decode(one) for one in shown],
        )
        for number, step in enumerate(names):
            ready, leased, jobs_of = rest[3 * number : 3 * number + 3]
            kept.ready[step] = [entry.decode() for entry in ready]
            kept.leased[step] = _texts(leased)
            kept.step_jobs[step] = [job.decode() for job in jobs_of]
        return kept, news

    async def lifetimes(self, workflow: str, parts: Iterable[str]) -> dict[str, int]:
        """What is left to each part of a workflow's keys, ms; -1: for ever."""
        names = list(parts)
        async with self._redis.pipeline(transaction=False) as pipe:
            for part in names:
                pipe.pttl(self._keys.workflow(workflow, *([part] if part else [])))
            left: list[int] = await pipe.execute()
        return {part: ms for part, ms in zip(names, left, strict=True) if ms != -2}

    async def is_archivable(self, workflow: str) -> bool:
        key = self._keys.flow(self._keys.partition(workflow), "archivable")
        return await self._redis.zscore(key, workflow) is not None

    async def counters(self, graphs: Mapping[str, Graph]) -> Counters | None:
        """What is counted, and what there is of workflows under way, at one moment.

        None when there are others than those whose graphs are given.
        """
        redis, keys = self._redis, self._keys
        active = [keys.flow(number, "active") for number in range(keys.partitions)]
        places = [
            (workflow, step.id)
            for key in active
            for workflow in sorted(await self._members(key))
            if workflow in graphs
            for step in graphs[workflow].steps
        ]
        async with redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.shared("running"))
            pipe.hgetall(keys.shared("waiting"))
            for key in active:
                pipe.smembers(key)
            for workflow, step in places:
                pipe.hlen(keys.workflow(workflow, "leased", step))
                pipe.llen(keys.workflow(workflow, "ready", step))
            running, waiting, *rest = await pipe.execute()
        there = {name.decode() for names in rest[: len(active)] for name in names}
        if there - {workflow for workflow, _ in places}:
            return None
        numbers = rest[len(active) :]
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return Counters(_numbers(running), _numbers(waiting), dict(zip(places, pairs, strict=True)))

    async def shared(self, names: Iterable[str], graphs: Mapping[str, Graph]) -> Shared:
        """What workflows share; `names` are those of all keys."""
        known = list(names)
        prefix = self._keys.shared("blocked:")
        blocked = [name for name in known if name.startswith("flow:blocked:")]
        return Shared(
            [await self._partition(number, known) for number in range(self._keys.partitions)],
            await self.counters(graphs),
            blocked={
                name.removeprefix("flow:blocked:"): await self._members(
                    prefix + name.removeprefix("flow:blocked:")
                )
                for name in blocked
            },
        )

    async def _partition(self, number: int, names: list[str]) -> Partition:
        found = Partition(
            number,
            sessions=await self._ranked(self._keys.flow(number, "sessions")),
            claims=await self._fields(self._keys.flow(number, "claims")),
            about=await self._fields(self._keys.flow(number, "about")),
            active=await self._members(self._keys.flow(number, "active")),
            listed=await self._ranked(self._keys.flow(number, "workflows")),
            orphans=await self._ranked(self._keys.flow(number, "orphans")),
        )
        statuses = f"flow:{number}:workflows:"
        by_name, by_tag = f"flow:{number}:named:", f"flow:{number}:tagged:"
        for name in names:
            key = self._keys.prefix + name
            if name.startswith(statuses):
                found.by_status[name.removeprefix(statuses)] = await self._ranked(key)
            elif name.startswith(by_name):
                found.by_name[name.removeprefix(by_name)] = await self._ranked(key)
            elif name.startswith(by_tag):
                found.by_tag[name.removeprefix(by_tag)] = await self._ranked(key)
            elif (session := _SESSION.fullmatch(name)) and int(session[1]) == number:
                found.holdings[session[2]] = _numbers(await self._redis.hgetall(key))
            elif (lane := _LANE.fullmatch(name)) and int(lane[1]) == number:
                await self._add(found.lanes.setdefault(lane[2], Lane()), lane[3], key)
        return found

    async def _add(self, lane: Lane, part: str, key: str) -> None:
        match part:
            case "timers":
                lane.timers = await self._ranked(key)
            case "ring":
                lane.ring |= await self._ranked(key)
            case "jobs":
                entries: list[bytes] = await self._redis.lrange(key, 0, -1)
                lane.jobs |= {entry.decode() for entry in entries}
            case _:
                lane.unread = await self._unread(key)

    async def _unread(self, feed: str) -> set[str]:
        """Workflows of which a group of the feed has entries to read."""
        groups = await self._redis.xinfo_groups(feed)
        positions = [group["last-delivered-id"].decode() for group in groups]
        found: set[str] = set()
        for position in positions:
            news = await self.entries(feed, f"({position}")
            found |= {fields[b"w"].decode() for _, fields in news}
        return found

    async def _fields(self, key: str) -> set[str]:
        return {name.decode() for name in await self._redis.hkeys(key)}

    async def _members(self, key: str) -> set[str]:
        return {name.decode() for name in await self._redis.smembers(key)}

    async def _ranked(self, key: str) -> set[str]:
        return {name.decode() for name in await self._redis.zrange(key, 0, -1)}


def unowned(names: Iterable[str], partitions: int) -> list[Violation]:
    """Keys that the list at the head of `core/keys.py` does not have, or of no partition."""
    known = list(names)
    pattern = owned(spelled.__doc__ or "")
    return [*check_owned(known, pattern), *check_places(known, partitions)]


def _numbers(found: dict[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in found.items()}


def _texts(found: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in found.items()}
