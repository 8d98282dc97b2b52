"""Who reads the partition's feed, and how far."""

from __future__ import annotations

from typing import Any

import msgspec

from .caller import Caller, decode

_claimed_events = msgspec.msgpack.Decoder(tuple[list[tuple[str, str, int]], int]).decode


class FeedScripts(Caller):
    async def follow_feed(
        self, partition: int, *, follower: str, lease_ms: int
    ) -> tuple[str, bool]:
        """Have the partition's feed kept for us as well, for a while (0: no longer).

        Returns the id of its last entry, and whether the feed was made.
        """
        call = {"follower": follower, "lease_ms": lease_ms}
        last, made = decode(await self._run("follow_feed", partition, **call))
        return str(last), bool(made)

    async def tend_feeds(self, partition: int, *, keep_ms: int, keep_entries: int) -> None:
        """Cut the feeds of a partition behind their readers."""
        call = {"keep_ms": keep_ms, "keep_entries": keep_entries}
        await self._run("tend_feeds", partition, **call)

    async def open_group(self, partition: int, *, group: str, close: bool = False) -> None:
        """Have a consumer group on the partition's feed, from now on; or close it."""
        call = {"group": group, **({"close": True} if close else {})}
        await self._run("open_group", partition, **call)

    async def turn_tracer(
        self,
        partition: int,
        *,
        group: str,
        token: str,
        lease_ms: int,
        kept_ms: int,
        exported: tuple[str, str] | None = None,
    ) -> str | None:
        """Hold the role of the tracer and move from one position to the next.

        Returns the position; None while somebody else has the role.
        """
        call: dict[str, Any] = {"lease_ms": lease_ms, "kept_ms": kept_ms}
        if exported:
            call |= {"from": exported[0], "to": exported[1]}
        answer = await self._run("turn_tracer", partition, group=group, token=token, **call)
        position: str | None = decode(answer) or None
        return position

    async def plan_subscription(
        self,
        partition: int,
        *,
        name: str,
        group: str,
        start: str,
        end: str,
        messages: list[tuple[str, str]],
    ) -> bool:
        """Queue (workflow, event as JSON) and move the group from `start` to `end`."""
        call = {"name": name, "group": group, "from": start, "to": end, "messages": messages}
        return bool(decode(await self._run("plan_subscription", partition, **call)))

    async def claim_subscription(
        self, partition: int, *, name: str, token: str, want: int, lease_ms: int
    ) -> tuple[list[tuple[str, str, int]], int]:
        """(workflow, event as JSON, tries before) that are due; ms until more is, -1 for none."""
        call = {"name": name, "token": token, "want": want, "lease_ms": lease_ms}
        return _claimed_events(await self._run("claim_subscription", partition, **call))

    async def settle_subscription(
        self,
        partition: int,
        *,
        name: str,
        workflow: str,
        token: str,
        word: str,
        delay_ms: int,
        reason: str,
    ) -> bool:
        """Say what became of an event: `done`, `again`, `park`; False when it is not ours."""
        call = {
            "name": name,
            "workflow": workflow,
            "token": token,
            "word": word,
            "delay_ms": delay_ms,
            "reason": reason,
        }
        return bool(decode(await self._run("settle_subscription", partition, **call)))

    async def unpark(self, partition: int, *, name: str, ids: list[str], drop: bool) -> int:
        """Take parked events back, or drop them; how many there were."""
        call = {"name": name, "ids": ids, **({"drop": True} if drop else {})}
        return int(decode(await self._run("unpark", partition, **call)))

    async def close_subscription(self, partition: int, *, name: str, group: str) -> None:
        await self._run("close_subscription", partition, name=name, group=group)
