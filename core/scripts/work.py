"""What commands, engines and workers append."""

from __future__ import annotations

from typing import Any

import msgspec

from ..answers import Claim, ClaimedStep, CommandOutcome, Commit, CommitOutcome, Group, Turned
from .caller import Caller, decode, outcome_of

#: As `Turned`.
_Turn = tuple[
    list[tuple[str, str, int]], list[list[Any]], list[ClaimedStep], list[tuple[int, str]], int
]
_decode_turn = msgspec.msgpack.Decoder(_Turn).decode


class WorkScripts(Caller):
    async def append(
        self,
        workflow: str,
        *,
        key: str,
        content: str,
        events: list[tuple[str, str]],
        by: str,
        statuses: list[str] | None = None,
        version: int | None = None,
        status: str | None = None,
        meta: dict[str, Any] | None = None,
        state: dict[str, str] | None = None,
        suspend: bool = False,
        freeze: bool = False,
        wake: bool = False,
    ) -> CommandOutcome:
        call = {
            "id": workflow,
            "key": key,
            "content": content,
            "events": events,
            "by": by,
            "statuses": statuses,
            "version": version,
            "status": status,
            "meta": meta,
            "state": state or None,
            "suspend": suspend or None,
            "freeze": freeze or None,
            "wake": wake or None,
        }
        given = {name: value for name, value in call.items() if value is not None}
        answer = await self._run("append", self._keys.partition(workflow), **given)
        outcome: CommandOutcome = outcome_of(decode(answer))
        self._note([outcome])
        return outcome

    async def commit(
        self, partition: int, *, lane: str, token: str, by: str, decisions: list[Commit]
    ) -> list[CommitOutcome]:
        """Apply decisions of the engine that owns the lane, each by itself."""
        call = {"lane": lane, "token": token, "by": by, "decisions": decisions}
        answer = decode(await self._run("commit", partition, **call))
        outcomes = [outcome_of(outcome) for outcome in answer]
        self._note(outcomes)
        return outcomes

    async def turn(
        self,
        partition: int,
        *,
        lane: str,
        session: str,
        groups: list[Group],
        claim: Claim | None = None,
        decisions: list[Commit] | None = None,
        token: str = "",
    ) -> Turned:
        """Settle results, apply decisions of the lane's engine (with its token), claim tasks."""
        call: dict[str, Any] = {"lane": lane, "session": session, "groups": groups}
        if decisions:
            call["engine"] = {"token": token, "by": "engine", "decisions": decisions}
        if claim:
            call["claim"] = claim
        answer = _decode_turn(await self._run("turn", partition, **call))
        refused, outcomes, claimed, ends, ts = answer
        turned = Turned(refused, [outcome_of(one) for one in outcomes], claimed, ends, ts)
        self._note(turned.outcomes, len(refused))
        return turned

    async def put_blob(self, workflow: str, *, digest: str, data: bytes) -> None:
        """Keep a payload; `data` is JSON."""
        call = {"id": workflow, "digest": digest, "data": data.decode()}
        await self._run("put_blob", self._keys.partition(workflow), **call)

    async def remember_request(
        self, name: str, *, content: str, answer: str = "", ttl_ms: int
    ) -> tuple[str, str]:
        """Keep what a request asked for, later its answer; returns (content, answer) that stand."""
        call = {"name": name, "content": content, "answer": answer, "ttl_ms": ttl_ms}
        first, stands = decode(await self._run("remember_request", 0, **call))
        return str(first), str(stands)
