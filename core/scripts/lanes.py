"""Lanes and their leases, timers, queues and bells."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from .caller import Caller, decode

#: How long agents whose launcher is gone wait for another one of their host, ms.
HOST_LEASE_MS = 60_000


class Swept(msgspec.Struct, frozen=True):
    """What a round of the janitor did."""

    #: How many (tasks, jobs, lanes) were taken back from dead owners.
    taken: list[int]
    #: Redis' clock.
    now_ms: int
    #: Seconds until the first lease of a session or a private lane ends, or infinity.
    left: float
    #: The call came too late, and took nothing.
    is_late: bool


class LaneScripts(Caller):
    async def set_queue(
        self, queue: str, *, limit: int | None = None, depth: int | None = None
    ) -> list[int]:
        """Set, lift (0) or keep (None) limits; returns limit, depth, running and waiting tasks."""
        given = {"limit": limit, "depth": depth}
        given = {name: value for name, value in given.items() if value is not None}
        answer = await self._run("set_queue", 0, queue=queue, **given)
        return [int(number) for number in decode(answer)]

    async def fire(self, partition: int, *, lane: str, limit: int = 200) -> int:
        """Let due timers happen; returns the ms until the next one, -1 when there is none."""
        return int(decode(await self._run("fire", partition, lane=lane, limit=limit)))

    async def renew(
        self,
        partition: int,
        *,
        lanes: list[tuple[str, str]],
        sessions: list[str],
        lease_ms: int,
        acquire: bool = False,
        release: bool = False,
        about: dict[str, str] | None = None,
    ) -> list[bool]:
        answer = await self._run(
            "renew",
            partition,
            lanes=lanes,
            sessions=sessions,
            lease_ms=lease_ms,
            **({"acquire": True} if acquire else {}),
            **({"release": True} if release else {}),
            **({"about": about} if about else {}),
        )
        return [bool(held) for held in decode(answer)]

    async def close_lane(
        self, partition: int, *, lane: str, token: str, sessions: list[str]
    ) -> None:
        await self._run("close_lane", partition, lane=lane, token=token, sessions=sessions)

    async def sweep(
        self,
        partition: int,
        *,
        limit: int = 1000,
        max_losses: int = 3,
        host_lease_ms: int = HOST_LEASE_MS,
        until_ms: int | None = None,
    ) -> Swept:
        """Take back what dead owners have; call again while anything is taken.

        `until_ms` is when the call has to come, by Redis' clock: later it takes nothing.
        """
        call = {"limit": limit, "max_losses": max_losses, "host_lease_ms": host_lease_ms}
        call |= {} if until_ms is None else {"until_ms": until_ms}
        taken, now_ms, end_ms = decode(await self._run("sweep", partition, **call))
        left = math.inf if end_ms is False else (end_ms - now_ms) / 1000
        is_late = until_ms is not None and now_ms > until_ms
        return Swept(taken, int(now_ms), left, is_late)

    async def hand_back(self, partition: int, *, session: str, limit: int = 1000) -> list[int]:
        """End a session: what it holds is free at once.

        Returns how many (tasks, jobs, lanes) that were; call until all are 0.
        """
        return await self._take_back(partition, session=session, limit=limit)

    async def hand_back_others(
        self, partition: int, *, session: str, kept: Iterable[str], limit: int = 1000
    ) -> list[int]:
        """Free what a session is said to hold besides these, and let it go on; as `hand_back`.

        They are named `<workflow>|<step>|<index>` or `<workflow>|<job>`.
        """
        names = dict.fromkeys(kept, True)
        return await self._take_back(partition, session=session, limit=limit, kept=names)

    async def _take_back(self, partition: int, **call: object) -> list[int]:
        answer = await self._run("sweep", partition, host_lease_ms=HOST_LEASE_MS, **call)
        taken: list[int] = decode(answer)[0]
        return taken

    async def acknowledge(
        self, partition: int, *, lane: str, token: str, feed: str, group: str, id: str
    ) -> bool:
        """Move the group's position; False when the lane has another owner."""
        call = {"lane": lane, "token": token, "feed": feed, "group": group, "id": id}
        return bool(decode(await self._run("acknowledge", partition, **call)))
