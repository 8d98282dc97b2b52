"""Look at one partition: who is there, what waits, how far the engine is behind. Only reads."""

from __future__ import annotations

from typing import Any

import msgspec
from redis import exceptions

from ..core.answers import decode_ready
from ..core.keys import SHARED
from ..core.log import EventLog
from ..reactors.lane import GROUP
from ..reactors.runtimes.contract import DEFAULT_MEMORY_BYTES
from ..reactors.session import About
from .facts import COUNTED, LaneFacts, Member, PartitionFacts, Unread, Waiting, WaitingAgent

#: Workflows and agents that are looked at, at most.
LOOKED_AT = 500


class _Job(msgspec.Struct):
    """What matters here of the record of an unsettled job; the scripts write it."""

    memory: float | None = None
    awaited: bool = False


_decode_job = msgspec.json.Decoder(_Job).decode
_decode_about = msgspec.json.Decoder(About).decode


class PartitionLooker:
    """Read the facts of one partition at one moment of Redis' clock."""

    def __init__(self, log: EventLog, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._keys = log.keys
        self._redis: Any = log.redis
        self._now_ms = 0.0

    async def look(self) -> PartitionFacts:
        await self._set_now()
        active = await self._active()
        shared = {
            name: (status, of) for name, (lane, status, of) in active.items() if lane == SHARED
        }
        owner, left = await self._owner()
        due, late = await self._timers()
        return PartitionFacts(
            LaneFacts(
                self._partition,
                _place(owner) if left > 0 else "",
                left if left > 0 else None,
                await self.unread(),
                len(shared),
            ),
            members=await self._members(owner),
            active=len(active),
            paused=[name for name, (status, _) in shared.items() if status == "paused"],
            waiting=[
                step
                for name, (status, definition) in list(shared.items())[:LOOKED_AT]
                for step in await self._waiting(name, status, definition)
            ],
            jobs_waiting=await self._redis.llen(self._flow(SHARED, "jobs")),
            timers_due=due,
            timer_late_s=late,
            agents=await self._agents(),
        )

    async def glance(self) -> PartitionFacts:
        """What costs the same however many workflows there are: none is looked at."""
        await self._set_now()
        owner, left = await self._owner()
        due, late = await self._timers()
        active = await self._redis.scard(self._flow("active"))
        return PartitionFacts(
            LaneFacts(
                self._partition,
                _place(owner) if left > 0 else "",
                left if left > 0 else None,
                await self.unread(),
                active,
            ),
            members=await self._members(owner),
            active=active,
            jobs_waiting=await self._redis.llen(self._flow(SHARED, "jobs")),
            timers_due=due,
            timer_late_s=late,
        )

    async def unread(self) -> Unread:
        """How far the engine is behind now."""
        await self._set_now()
        feed = self._keys.feed(self._partition)
        try:
            groups = await self._redis.xinfo_groups(feed)
        except exceptions.ResponseError:  # no engine ever ran
            return Unread(0, 0, "")
        found = [g["last-delivered-id"].decode() for g in groups if g["name"] == GROUP.encode()]
        if not found:
            return Unread(0, 0, "")
        entries = await self._redis.xrange(feed, min=f"({found[0]}", count=COUNTED)
        oldest = self._age(entries[0][0].partition(b"-")[0]) if entries else 0
        return Unread(len(entries), oldest, found[0])

    async def _set_now(self) -> None:
        seconds, micros = await self._redis.time()
        self._now_ms = seconds * 1000 + micros / 1000

    def _flow(self, *parts: str) -> str:
        return self._keys.flow(self._partition, *parts)

    def _age(self, moment_ms: bytes | float) -> float:
        return round(max(0.0, self._now_ms - float(moment_ms)) / 1000, 3)

    async def _active(self) -> dict[str, tuple[str, str, str]]:
        """(lane, status, definition) of the workflows that have not ended, oldest first."""
        names = sorted(await self._redis.smembers(self._flow("active")))
        found: dict[str, tuple[str, str, str]] = {}
        for name in map(bytes.decode, names):
            key = self._keys.workflow(name, "meta")
            lane, status, definition = await self._redis.hmget(key, "lane", "status", "name")
            if lane:
                found[name] = (lane.decode(), status.decode(), definition.decode())
        return found

    async def _owner(self) -> tuple[str, float]:
        """Token and rest of the lease (s) of who owns the shared lane."""
        value = (await self._redis.hget(self._flow("owners"), SHARED) or b"0 ").decode()
        deadline, _, token = value.partition(" ")
        return token, (float(deadline) - self._now_ms) / 1000

    async def _members(self, owner: str) -> list[Member]:
        sessions = await self._redis.zrange(self._flow("sessions"), 0, -1, withscores=True)
        about = await self._redis.hgetall(self._flow("about"))
        return [
            await self._member(name.decode(), about.get(name), deadline, owner)
            for name, deadline in sessions
        ]

    async def _member(
        self, session: str, data: bytes | None, deadline: float, owner: str
    ) -> Member:
        about = _decode_about(data) if data else _guess(session)
        held = await self._redis.hvals(self._flow("session", session))
        owns = about.role == "scheduler" and _place(session) == _place(owner)
        return Member(
            session,
            about.role,
            about.host,
            about.pid,
            about.lane,
            about.slots,
            about.definitions,
            claimed=sum(map(int, held)),
            lease_left_s=round((deadline - self._now_ms) / 1000, 3),
            owns_lanes=[self._partition] if owns else [],
            steps=about.steps,
            memory_bytes=about.memory_bytes,
        )

    async def _agents(self) -> list[WaitingAgent]:
        entries = await self._redis.lrange(self._flow(SHARED, "jobs"), 0, LOOKED_AT - 1)
        names = [entry.decode().split(" ") for entry in entries]
        found = [await self._agent(workflow, job) for workflow, job in names]
        return [agent for agent in found if agent]

    async def _agent(self, workflow: str, job: str) -> WaitingAgent | None:
        data = await self._redis.hget(self._keys.workflow(workflow, "jobs"), job)
        if data is None:  # cancelled meanwhile
            return None
        record = _decode_job(data)
        memory = int(record.memory or DEFAULT_MEMORY_BYTES)
        return WaitingAgent(workflow, job, memory, record.awaited)

    async def _timers(self) -> tuple[int, float]:
        """How many timers are due, and how late (s) the first of them is."""
        key = self._flow(SHARED, "timers")
        first = await self._redis.zrange(key, 0, 0, withscores=True)
        due = await self._redis.zcount(key, "-inf", self._now_ms)
        return due, self._age(first[0][1]) if due else 0.0

    async def _waiting(self, workflow: str, status: str, definition: str) -> list[Waiting]:
        steps = await self._redis.smembers(self._keys.workflow(workflow, "ready"))
        found = [
            await self._step(workflow, status, definition, step.decode()) for step in sorted(steps)
        ]
        return [step for step in found if step.ready]

    async def _step(self, workflow: str, status: str, definition: str, step: str) -> Waiting:
        key = self._keys.workflow(workflow, "ready", step)
        text = await self._redis.hget(self._keys.workflow(workflow, "limits"), step)
        most, queue, name, key_most = (text or b"0|default||0").decode().split("|")
        return Waiting(
            workflow,
            definition,
            status,
            step,
            ready=await self._redis.llen(key),
            oldest_s=await self._oldest(workflow, await self._redis.lindex(key, 0)),
            queue=queue,
            limit=await self._own_limit(workflow, step, int(most), name, int(key_most)),
        )

    async def _oldest(self, workflow: str, entry: bytes | None) -> float:
        """Seconds since the first ready task was queued."""
        if entry is None:
            return 0.0
        cause = decode_ready(entry).cause
        events = await self._log.read(workflow, after=cause - 1, limit=1)
        return self._age(events[0].ts) if events else 0.0

    async def _own_limit(self, workflow: str, step: str, most: int, key: str, key_most: int) -> str:
        """The limit of the step, its workflow or its key that holds it back, if one does."""
        leased = await self._redis.hlen(self._keys.workflow(workflow, "leased", step))
        if 0 < most <= leased:
            return f"{leased} of max_workers={most} run"
        together = int(await self._redis.hget(self._keys.workflow(workflow, "limits"), "*") or 0)
        running = int(await self._redis.hget(self._keys.workflow(workflow, "meta"), "running") or 0)
        if 0 < together <= running:
            return f"{running} of max_parallel={together} of the workflow run"
        keyed = int(await self._redis.hget(self._keys.shared("running"), f"key:{key}") or 0)
        if 0 < key_most <= keyed:
            return f"{keyed} of {key_most} with concurrency key {key!r} run"
        return ""


def _place(name: str) -> str:
    """`host:pid` of `role@host:pid:incarnation`."""
    return name.partition("@")[2].rpartition(":")[0]


def _guess(session: str) -> About:
    """What the name of a session alone tells."""
    host, _, pid = _place(session).rpartition(":")
    return About(session.partition("@")[0], host, int(pid or 0), 0)
