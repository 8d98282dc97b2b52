"""Does to the processes what the schedule says, and notes what it did."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import redis

from .agents import Agents
from .fleet import Fleet, Member, now_ms
from .journal import Hit, Journal, Span
from .schedule import Fault
from .server import Server

#: Seconds between two looks at processes and at who owns the lanes.
TEND = 0.1
#: When that takes so long, the machine is too busy to tell how fast others are.
STALL = 0.2


class Holds(msgspec.Struct, frozen=True):
    """What a process has when it is hit: lanes by their partitions, agents by workflow and job."""

    owned: list[int] = []
    claimed: list[tuple[str, str]] = []


class Nemesis:
    def __init__(
        self, server: Server, fleet: Fleet, agents: Agents, journal: Journal, partitions: int
    ) -> None:
        self._server = server
        self._partitions = range(partitions)
        self._fleet = fleet
        self._agents = agents
        self._journal = journal
        self._eye = server.client()
        #: Who owned the lane of each partition when we could look last.
        self._owned: dict[int, str] = {}
        self._redis = anyio.Lock()
        self._daemon = anyio.Lock()

    async def carry_out(self, faults: Sequence[Fault], begun: float) -> None:
        """Everything at its time; returns when the last fault is over."""
        async with anyio.create_task_group() as tasks:
            for fault in faults:
                await anyio.sleep(max(0.0, begun + fault.at_s - time.monotonic()))
                tasks.start_soon(self._inflict, fault)

    async def tend_forever(self) -> None:
        """Start again what died, and see who owns the lanes."""
        while True:
            self._fleet.tend()
            self._owned |= self._owners()
            for partition, token in self._owned.items():
                if (partition, token) not in {one[1:] for one in self._journal.owners}:
                    self._journal.owners.append((now_ms(), partition, token))
            before = now_ms()
            await anyio.sleep(TEND)
            if now_ms() - before > STALL * 1000:
                self._journal.stalls.append(Span(before, now_ms()))

    def _owners(self) -> dict[int, str]:
        """Who owns the shared lane of each partition; nothing while Redis is away."""
        owners: dict[int, str] = {}
        try:
            for partition in self._partitions:
                owner = str(self._eye.hget(f"flow:{partition}:owners", "shared") or "")
                if token := owner.partition(" ")[2]:
                    owners[partition] = token
        except (redis.ConnectionError, redis.TimeoutError):
            return {}
        return owners

    async def _inflict(self, fault: Fault) -> None:
        match fault.kind:
            case "redis":
                await self._kill_redis(fault.for_s)
            case "agent":
                name = await anyio.to_thread.run_sync(self._agents.kill_one, fault.number)
                self._note(fault, hit=bool(name))
            case "dockerd":
                await self._kill_daemon(fault)
            case _:
                await self._hit(fault, self._fleet[fault.target])

    async def _hit(self, fault: Fault, member: Member) -> None:
        pid = member.pid
        holds = Holds(self._owned_by(pid), self._claimed_by(pid))
        match fault.kind:
            case "kill":
                self._note(fault, hit=member.kill(fault.for_s), pid=pid, holds=holds)
            case "freeze" if member.freeze():
                noted = self._note(fault, pid=pid, holds=holds)
                await anyio.sleep(fault.for_s)
                if member.pid == pid:
                    member.thaw()
                noted.until_ms = now_ms()
            case "partition" if pid and not member.frozen:
                noted = self._note(fault, pid=pid, holds=holds)
                member.proxy.part()
                await anyio.sleep(fault.for_s)
                member.proxy.join()
                noted.until_ms = now_ms()
            case "cut" if pid:
                member.proxy.cut()
                self._note(fault, pid=pid)
            case "swallow" if pid:
                member.proxy.swallow(fault.number)
                self._note(fault, pid=pid)
            case _:
                self._journal.missed += 1

    def _owned_by(self, pid: int) -> list[int]:
        """Partitions whose engine a process is, as far as is known."""
        self._owned |= self._owners()
        owners = self._owned.items()
        return [partition for partition, token in owners if f":{pid}:" in token]

    def _claimed_by(self, pid: int) -> list[tuple[str, str]]:
        """Workflow and job of the agents that a process has claimed; none while Redis is away."""
        claimed: list[tuple[str, str]] = []
        try:
            for partition in self._partitions:
                for session in self._launchers(partition, pid):
                    claimed += self._claimed_in(partition, session)
        except (redis.ConnectionError, redis.TimeoutError):
            return []
        return claimed

    def _launchers(self, partition: int, pid: int) -> list[str]:
        """Sessions of the launcher of a process."""
        sessions: Any = self._eye.zrange(f"flow:{partition}:sessions", 0, -1)
        return [one for one in sessions if one.startswith("launcher@") and f":{pid}:" in one]

    def _claimed_in(self, partition: int, session: str) -> Iterator[tuple[str, str]]:
        fields: Any = self._eye.hkeys(f"flow:{partition}:session:{session}")
        for workflow in {field.partition("|")[0] for field in fields}:
            jobs: Any = self._eye.hgetall(f"workflow:{workflow}:jobs")
            for job, record in jobs.items():
                if str(json.loads(record)["token"]).startswith(f"{session}/"):
                    yield workflow, job

    def _note(
        self, fault: Fault, *, hit: bool = True, pid: int = 0, holds: Holds | None = None
    ) -> Hit:
        holds = holds or Holds()
        noted = Hit(
            fault.kind, now_ms(), fault.target, pid, owned=holds.owned, claimed=holds.claimed
        )
        if hit:
            self._journal.hits.append(noted)
        else:
            self._journal.missed += 1
        return noted

    async def _kill_redis(self, away_s: float) -> None:
        if self._redis.locked():  # it is away, as a process may be that is to be killed
            self._journal.missed += 1
            return
        async with self._redis:
            hit = Hit("redis", now_ms())
            self._server.kill()
            await anyio.sleep(away_s)
            self._server.start()
            await self._server.wait_ready()
            hit.until_ms = now_ms()
            self._journal.hits.append(hit)
            self._journal.redis_away.append(Span(hit.at_ms, hit.until_ms))

    async def _kill_daemon(self, fault: Fault) -> None:
        async with self._daemon:
            noted = Hit("dockerd", now_ms())
            if not self._agents.kill_daemon():
                return
            await anyio.sleep(fault.for_s)
            self._agents.start_daemon()
            await anyio.to_thread.run_sync(self._agents.wait_ready)
            noted.until_ms = now_ms()
            self._journal.hits.append(noted)
