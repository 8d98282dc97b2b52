"""Lanes and their leases, timers, queues and bells."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .caller import Caller, decode

#: How long agents whose launcher is gone wait for another one of their host, ms.
HOST_LEASE_MS = 60_000


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
    ) -> list[int]:
        """Returns how many (tasks, jobs, lanes) were taken back from dead owners."""
        answer = await self._run(
            "sweep", partition, limit=limit, max_losses=max_losses, host_lease_ms=host_lease_ms
        )
        return [int(count) for count in decode(answer)]

    async def next_lease_end(self, partition: int) -> float:
        """Seconds until the first lease of a session or a private lane ends, or infinity."""
        left_ms = decode(await self._run("next_lease_end", partition))
        return math.inf if left_ms is False else float(left_ms) / 1000

    async def hand_back(self, partition: int, *, session: str, limit: int = 1000) -> list[int]:
        """End a session: what it holds is free at once. Returns as `sweep`; call until all 0."""
        call = {"session": session, "limit": limit, "host_lease_ms": HOST_LEASE_MS}
        return [int(count) for count in decode(await self._run("sweep", partition, **call))]

    async def hand_back_others(
        self, partition: int, *, session: str, kept: Iterable[str], limit: int = 1000
    ) -> list[int]:
        """Free what a session is said to hold besides these, and let it go on; call until all 0.

        They are named `<workflow>|<step>|<index>` or `<workflow>|<job>`.
        """
        call = {"session": session, "limit": limit, "host_lease_ms": HOST_LEASE_MS}
        answer = await self._run("sweep", partition, **call, kept=dict.fromkeys(kept, True))
        return [int(count) for count in decode(answer)]

    async def acknowledge(
        self, partition: int, *, lane: str, token: str, feed: str, group: str, id: str
    ) -> bool:
        """Move the group's position; False when the lane has another owner."""
        call = {"lane": lane, "token": token, "feed": feed, "group": group, "id": id}
        return bool(decode(await self._run("acknowledge", partition, **call)))
