"""The Lua scripts, one typed function each. Nothing else writes to Redis.

A script is called by name, and loaded when the server does not know it. Arguments and answers are
MessagePack, which costs a tenth of what as many Redis arguments do; text only, for Redis' Lua knows
no binary type of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from .answers import (
    Appended,
    Claim,
    ClaimedDelivery,
    ClaimedJobs,
    ClaimedStep,
    CommandOutcome,
    Commit,
    CommitOutcome,
    Conflict,
    Duplicate,
    Ended,
    Fenced,
    Found,
    Full,
    Group,
    Lost,
    Mismatch,
    Missing,
    StateRefused,
    Turned,
    Undefined,
)
from .connection import Connection, NotReplicated
from .keys import Keys
from .library import function, library
from .library import script as script_of
from .metrics import APPEND_DURATION, APPENDS_REFUSED, Instruments

#: How long agents whose launcher is gone wait for another one of their host, ms.
HOST_LEASE_MS = 60_000
#: How long one call waits for its replicas before it says so and is sent again, ms.
CONFIRM_MS = 1000

#: Scripts that append, and whose calls are timed where somebody asks for that.
APPENDING = frozenset(
    {
        "append",
        "commit",
        "record_effect",
        "request_job",
        "settle_job",
        "state",
        "stop_job",
        "turn",
    }
)

_pack = msgspec.msgpack.Encoder().encode


_OUTCOMES: dict[str, type] = {
    "appended": Appended,
    "duplicate": Duplicate,
    "conflict": Conflict,
    "mismatch": Mismatch,
    "missing": Missing,
    "fenced": Fenced,
    "lost": Lost,
    "full": Full,
    "undefined": Undefined,
}

#: What is counted as refused, and under which word.
_REFUSALS: dict[type, str] = {
    Conflict: "conflict",
    Mismatch: "mismatch",
    Fenced: "fenced",
    Lost: "claim_lost",
    Full: "full",
}

#: As `Turned`.
_Turn = tuple[
    list[tuple[str, str, int]], list[list[Any]], list[ClaimedStep], list[tuple[int, str]], int
]
_decode_turn = msgspec.msgpack.Decoder(_Turn).decode


class _Spec(msgspec.Struct):
    memory_bytes: int | None = None


class _Requested(msgspec.Struct):
    """What matters here of `job.requested`."""

    spec: _Spec


_requested = msgspec.json.Decoder(_Requested).decode
_claimed_jobs = msgspec.msgpack.Decoder(ClaimedJobs).decode
_claimed_events = msgspec.msgpack.Decoder(tuple[list[tuple[str, str, int]], int]).decode
_claimed_deliveries = msgspec.msgpack.Decoder(tuple[list[ClaimedDelivery], int]).decode
_decode = msgspec.msgpack.Decoder().decode


class Scripts:
    """Call the scripts on one Redis. Each call may be repeated: the guards make that harmless."""

    def __init__(self, connection: Connection, keys: Keys, *, replicas: int = 0) -> None:
        self._connection = connection
        self._keys = keys
        self._replicas = replicas
        self._has_functions = True
        #: What counts the calls; None: nobody asks.
        self.instruments: Instruments | None = None

    async def _run(self, script: str, partition: int, /, **call: Any) -> bytes:
        route = self._keys.flow(partition, "owners")
        packed = _pack({"ns": self._keys.prefix, "p": partition, **call})
        if self.instruments is None or script not in APPENDING:
            return await self._connection.call(lambda: self._try(script, route, packed))
        began = time.perf_counter()
        answer = await self._connection.call(lambda: self._try(script, route, packed))
        self.instruments.observe(APPEND_DURATION, time.perf_counter() - began, script)
        return answer

    def _note(self, outcomes: Iterable[object], lost: int = 0) -> None:
        """Count what was refused: outcomes, and results that came too late."""
        if self.instruments is None:
            return
        for outcome in outcomes:
            if reason := _REFUSALS.get(type(outcome)):
                self.instruments.count(APPENDS_REFUSED, reason)
        if lost:
            self.instruments.count(APPENDS_REFUSED, "claim_lost", by=lost)

    async def _try(self, script: str, route: str, packed: bytes) -> bytes:
        while self._has_functions:
            try:
                return await self._send("FCALL", function(script), 1, route, packed)
            except ResponseError as error:
                if not _is_unknown(error):
                    raise
            await self._load()
        text, sha = script_of(script)
        try:
            return await self._send("EVALSHA", sha, 1, route, packed)
        except NoScriptError:
            return await self._send("EVAL", text, 1, route, packed)

    async def _load(self) -> None:
        """Give Redis the library; where it takes none, scripts have to do."""
        try:
            await self._send("FUNCTION", "LOAD", "REPLACE", library()[1])
        except (NoPermissionError, ResponseError) as error:
            if not isinstance(error, NoPermissionError) and not _is_unknown(error):
                raise
            self._has_functions = False

    async def _send(self, *command: Any) -> bytes:
        wire = self._connection.wire
        if not self._replicas:
            answer: bytes = await wire.call(*command)
            return answer
        # WAIT speaks only for what its own connection wrote, and a repeated call may write nothing:
        # so each call writes a mark of its own before it waits.
        mark = ("INCR", self._keys.confirmed)
        wait = ("WAIT", self._replicas, CONFIRM_MS)
        replies: tuple[Any, ...] = await asyncio.gather(
            wire.call(*command), wire.call(*mark), wire.call(*wait)
        )
        written: bytes = replies[0]
        confirmed: int = replies[2]
        if confirmed < self._replicas:
            raise NotReplicated(f"{confirmed} of {self._replicas} replicas have the write")
        return written

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
        outcome: CommandOutcome = _outcome_of(_decode(answer))
        self._note([outcome])
        return outcome

    async def commit(
        self, partition: int, *, lane: str, token: str, by: str, decisions: list[Commit]
    ) -> list[CommitOutcome]:
        """Apply decisions of the engine that owns the lane, each by itself."""
        call = {"lane": lane, "token": token, "by": by, "decisions": decisions}
        answer = _decode(await self._run("commit", partition, **call))
        outcomes = [_outcome_of(outcome) for outcome in answer]
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
        turned = Turned(refused, [_outcome_of(one) for one in outcomes], claimed, ends, ts)
        self._note(turned.outcomes, len(refused))
        return turned

    async def request_job(
        self,
        workflow: str,
        *,
        step: str,
        index: int,
        token: str,
        effect: str,
        base: str,
        rest: str,
    ) -> Found | Lost:
        """Ask for an agent; `rest` is the JSON of `job.requested` without step, index and job."""
        # Launchers claim by memory: it stands beside the event, so that no script has to parse it.
        memory = _requested(rest).spec.memory_bytes
        answer = await self._run(
            "request_job",
            self._keys.partition(workflow),
            id=workflow,
            step=step,
            index=index,
            token=token,
            effect=effect,
            base=base,
            rest=rest,
            **({"memory": memory} if memory else {}),
        )
        word, *facts = _decode(answer)
        self._note([], word == "lost")
        return Lost() if word == "lost" else Found(*facts)

    async def stop_job(
        self, workflow: str, *, step: str, index: int, token: str, job: str
    ) -> Literal["stopped", "lost"]:
        call = {"id": workflow, "step": step, "index": index, "token": token, "job": job}
        word: Literal["stopped", "lost"]
        (word,) = _decode(await self._run("stop_job", self._keys.partition(workflow), **call))
        self._note([], word == "lost")
        return word

    async def claim_jobs(
        self,
        partition: int,
        *,
        lane: str,
        host: str,
        session: str,
        token: str,
        want: int,
        lease_ms: int,
        default_memory: int,
        memory: int | None = None,
        all_memory: int | None = None,
    ) -> ClaimedJobs:
        """Claim jobs; sizes are bytes.

        Those that ran on `host` before always come, others up to `want` and within the free
        `memory` of a launcher that has `all_memory` (None: any number).
        """
        limits = {"memory": memory, "all_memory": all_memory}
        answer = await self._run(
            "claim_jobs",
            partition,
            lane=lane,
            host=host,
            session=session,
            token=token,
            want=want,
            lease_ms=lease_ms,
            default_memory=default_memory,
            **{name: size for name, size in limits.items() if size is not None},
        )
        return _claimed_jobs(answer)

    async def settle_job(
        self, workflow: str, *, job: str, token: str, type: str, rest: str, final: bool
    ) -> Literal["appended", "stopping", "lost"]:
        call = {
            "id": workflow,
            "job": job,
            "token": token,
            "type": type,
            "rest": rest,
            "final": final,
        }
        answer = _decode(await self._run("settle_job", self._keys.partition(workflow), **call))
        word: Literal["appended", "stopping", "lost"] = answer[0]
        self._note([], word == "lost")
        return word

    async def change_state(
        self,
        workflow: str,
        *,
        by: str,
        changes: list[dict[str, Any]],
        claim: dict[str, Any] | None = None,
        key: str | None = None,
        limit: int | None = None,
    ) -> list[str | None] | Lost | Missing | Ended | StateRefused:
        """Apply changes; returns the JSON of the sum of each incr, None for other changes.

        A list may grow to `limit` bytes. `claim` is {step, index, token, write} of the task that
        writes; anybody else gives an idempotency key.
        """
        answer = await self._run(
            "state",
            self._keys.partition(workflow),
            id=workflow,
            by=by,
            changes=changes,
            **(claim or {}),
            **({"key": key} if key else {}),
            **({"limit": limit} if limit else {}),
        )
        outcome: list[str | None] | Lost | Missing | Ended | StateRefused
        outcome = _state_outcome_of(_decode(answer))
        self._note([outcome])
        return outcome

    async def write_state(
        self,
        workflow: str,
        *,
        by: str,
        changes: list[dict[str, Any]],
        key: str,
        version: int | None = None,
    ) -> list[str | None] | Missing | Ended | Conflict | StateRefused:
        """`change_state` for whoever holds no task, if the workflow has the expected version."""
        given = {} if version is None else {"version": version}
        answer = await self._run(
            "state",
            self._keys.partition(workflow),
            id=workflow,
            by=by,
            changes=changes,
            key=key,
            **given,
        )
        outcome: list[str | None] | Missing | Ended | Conflict | StateRefused
        outcome = _state_outcome_of(_decode(answer))
        self._note([outcome])
        return outcome

    async def record_effect(
        self,
        workflow: str,
        *,
        step: str,
        index: int,
        token: str,
        effect: str,
        name: str,
        value: str,
        kind: str = "",
    ) -> str | Lost:
        """Record an effect (`name` and `value` are JSON); returns the value that stands."""
        answer = await self._run(
            "record_effect",
            self._keys.partition(workflow),
            id=workflow,
            step=step,
            index=index,
            token=token,
            effect=effect,
            name=name,
            value=value,
            kind=kind or False,
        )
        word, *facts = _decode(answer)
        self._note([], word == "lost")
        return Lost() if word == "lost" else str(facts[0])

    async def set_queue(
        self, queue: str, *, limit: int | None = None, depth: int | None = None
    ) -> list[int]:
        """Set, lift (0) or keep (None) limits; returns limit, depth, running and waiting tasks."""
        given = {"limit": limit, "depth": depth}
        given = {name: value for name, value in given.items() if value is not None}
        answer = await self._run("set_queue", 0, queue=queue, **given)
        return [int(number) for number in _decode(answer)]

    async def fire(self, partition: int, *, lane: str, limit: int = 200) -> int:
        """Let due timers happen; returns the ms until the next one, -1 when there is none."""
        return int(_decode(await self._run("fire", partition, lane=lane, limit=limit)))

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
        return [bool(held) for held in _decode(answer)]

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
        return [int(count) for count in _decode(answer)]

    async def hand_back(self, partition: int, *, session: str, limit: int = 1000) -> list[int]:
        """End a session: what it holds is free at once. Returns as `sweep`; call until all 0."""
        call = {"session": session, "limit": limit, "host_lease_ms": HOST_LEASE_MS}
        return [int(count) for count in _decode(await self._run("sweep", partition, **call))]

    async def acknowledge(
        self, partition: int, *, lane: str, token: str, feed: str, group: str, id: str
    ) -> bool:
        """Move the group's position; False when the lane has another owner."""
        call = {"lane": lane, "token": token, "feed": feed, "group": group, "id": id}
        return bool(_decode(await self._run("acknowledge", partition, **call)))

    async def put_blob(self, workflow: str, *, digest: str, data: bytes) -> None:
        """Keep a payload; `data` is JSON."""
        call = {"id": workflow, "digest": digest, "data": data.decode()}
        await self._run("put_blob", self._keys.partition(workflow), **call)

    async def write_logs(
        self, workflow: str, *, job: str, lines: list[tuple[int, str, str]], limit: int, after: int
    ) -> None:
        """Keep lines (ts in ms, stream, text) that follow `after` others; 0 begins anew."""
        call = {"id": workflow, "job": job, "lines": lines, "max": limit, "after": after}
        await self._run("write_logs", self._keys.partition(workflow), **call)

    async def delete(
        self,
        workflow: str,
        *,
        steps: list[str],
        jobs: list[str],
        about: dict[str, Any],
        version: int | None = None,
    ) -> CommandOutcome:
        """Delete all that is stored of a run that has ended or has not begun.

        `about` names the listings that it is in, see `parts/listings.lua`.
        """
        call = {"id": workflow, "steps": steps, "jobs": jobs, "about": about}
        given = {"version": version} if version is not None else {}
        answer = await self._run("delete", self._keys.partition(workflow), **call, **given)
        outcome: CommandOutcome = _outcome_of(_decode(answer))
        return outcome

    async def restore(
        self,
        workflow: str,
        *,
        content: str,
        version: int,
        digest: str,
        entries: list[list[str]] | None = None,
        state: dict[str, str] | None = None,
        blobs: dict[str, str] | None = None,
        last: dict[str, Any] | None = None,
    ) -> Literal["restoring", "restored", "there", "conflict", "incomplete"]:
        """Keep a portion of a workflow aside, each `[id, field, value …]`; `last` completes it."""
        answer = await self._run(
            "restore",
            self._keys.partition(workflow),
            id=workflow,
            content=content,
            version=version,
            digest=digest,
            entries=entries or [],
            state=state or {},
            blobs=blobs or {},
            **({"last": last} if last else {}),
        )
        word: Literal["restoring", "restored", "there", "conflict", "incomplete"]
        word = _decode(answer)[0]
        return word

    async def remember_request(
        self, name: str, *, content: str, answer: str = "", ttl_ms: int
    ) -> tuple[str, str]:
        """Keep what a request asked for, later its answer; returns (content, answer) that stand."""
        call = {"name": name, "content": content, "answer": answer, "ttl_ms": ttl_ms}
        first, stands = _decode(await self._run("remember_request", 0, **call))
        return str(first), str(stands)

    async def follow_feed(
        self, partition: int, *, follower: str, lease_ms: int
    ) -> tuple[str, bool]:
        """Have the partition's feed kept for us as well, for a while (0: no longer).

        Returns the id of its last entry, and whether the feed was made.
        """
        call = {"follower": follower, "lease_ms": lease_ms}
        last, made = _decode(await self._run("follow_feed", partition, **call))
        return str(last), bool(made)

    async def tend_feed(self, partition: int, *, keep_ms: int, keep_entries: int) -> None:
        """Cut the partition's feed behind its readers, or delete it when it has none."""
        call = {"keep_ms": keep_ms, "keep_entries": keep_entries}
        await self._run("tend_feed", partition, **call)

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
        position: str | None = _decode(answer) or None
        return position

    async def plan_deliveries(
        self,
        partition: int,
        *,
        group: str,
        start: str,
        end: str,
        deliveries: list[tuple[str, str, str]],
        kept: int,
    ) -> bool:
        """Plan (id, webhook, message) and move the group from `start` to `end`; False: elsewhere.

        Of each webhook the newest `kept` stay listed.
        """
        call = {"group": group, "from": start, "to": end, "deliveries": deliveries, "kept": kept}
        return bool(_decode(await self._run("plan_deliveries", partition, **call)))

    async def claim_deliveries(
        self,
        partition: int,
        *,
        token: str,
        want: int,
        each: int,
        busy: dict[str, int] | None = None,
        lease_ms: int,
    ) -> tuple[list[ClaimedDelivery], int]:
        """What is due, and the ms until more is; -1 when nothing is planned.

        One webhook gets at most `each` less what it has under way already (`busy`).
        """
        call = {
            "token": token,
            "want": want,
            "each": each,
            "busy": busy or {},
            "lease_ms": lease_ms,
        }
        return _claimed_deliveries(await self._run("claim_deliveries", partition, **call))

    async def settle_delivery(
        self,
        partition: int,
        *,
        delivery: str,
        token: str,
        attempt: str,
        state: str,
        delay_ms: int,
        keep_ms: int,
    ) -> bool:
        """Note an attempt (JSON) and what follows; False when somebody else has claimed it."""
        call = {
            "id": delivery,
            "token": token,
            "attempt": attempt,
            "state": state,
            "delay_ms": delay_ms,
            "keep_ms": keep_ms,
        }
        return bool(_decode(await self._run("settle_delivery", partition, **call)))

    async def redeliver(self, partition: int, *, delivery: str, webhook: str) -> bool:
        """Send it once more; False when there is none of that webhook."""
        call = {"id": delivery, "webhook": webhook}
        return bool(_decode(await self._run("redeliver", partition, **call)))

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
        return bool(_decode(await self._run("plan_subscription", partition, **call)))

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
        return bool(_decode(await self._run("settle_subscription", partition, **call)))

    async def unpark(self, partition: int, *, name: str, ids: list[str], drop: bool) -> int:
        """Take parked events back, or drop them; how many there were."""
        call = {"name": name, "ids": ids, **({"drop": True} if drop else {})}
        return int(_decode(await self._run("unpark", partition, **call)))

    async def close_subscription(self, partition: int, *, name: str, group: str) -> None:
        await self._run("close_subscription", partition, name=name, group=group)

    async def archive(
        self,
        workflow: str,
        *,
        version: int,
        digest: str,
        tombstone: str,
        steps: list[str],
        jobs: list[str],
    ) -> Literal["archived", "moved", "missing"]:
        """Let go of a log that the archive has; `tombstone` (JSON) stays in its place."""
        call = {
            "id": workflow,
            "version": version,
            "digest": digest,
            "tombstone": tombstone,
            "steps": steps,
            "jobs": jobs,
        }
        answer = await self._run("archive", self._keys.partition(workflow), **call)
        word: Literal["archived", "moved", "missing"] = _decode(answer)
        return word

    async def hold(self, partition: int, ids: list[str]) -> int:
        """Let ended workflows wait for the archive instead of expiring; how many did not yet."""
        return int(_decode(await self._run("hold", partition, ids=ids)))

    async def unlist(self, partition: int, *, part: str, ids: list[str], dry: bool = False) -> int:
        """Take members without a workflow off a listing; how many there are."""
        call = {"part": part, "ids": ids, **({"dry": True} if dry else {})}
        return int(_decode(await self._run("unlist", partition, **call)))

    async def clear_leftovers(
        self, workflow: str, *, parts: list[str], dry: bool = False
    ) -> tuple[int, int]:
        """Delete keys without TTL of a workflow that is not there; (keys, bytes) that it has."""
        call = {"id": workflow, "parts": parts, **({"dry": True} if dry else {})}
        partition = self._keys.partition(workflow)
        keys, size = _decode(await self._run("clear_leftovers", partition, **call))
        return int(keys), int(size)

    async def drop_shadow(
        self, workflow: str, *, name: str, kept_ms: int, age_ms: int, dry: bool = False
    ) -> int:
        """Delete what a rebuild left that is at least that old; its bytes, 0: it stays."""
        call = {"id": workflow, "name": name, "kept_ms": kept_ms, "age_ms": age_ms}
        given = {"dry": True} if dry else {}
        partition = self._keys.partition(workflow)
        return int(_decode(await self._run("drop_shadow", partition, **call, **given)))

    async def keep_shadow(
        self, workflow: str, *, name: str, made: dict[str, Any], ttl_ms: int
    ) -> bool:
        """Keep a projection made anew (see `parts/rebuilding.lua`); False: the log has gone."""
        call = {"id": workflow, "name": name, "made": made, "ttl_ms": ttl_ms}
        return bool(_decode(await self._run("keep_shadow", self._keys.partition(workflow), **call)))

    async def switch_projection(
        self, workflow: str, *, name: str, ttl_ms: int
    ) -> Literal["switched", "newer", "moved", "missing"]:
        """Let the projection made anew take the place of the live one, which is kept a while."""
        call = {"id": workflow, "name": name, "ttl_ms": ttl_ms}
        answer = await self._run("switch_projection", self._keys.partition(workflow), **call)
        word: Literal["switched", "newer", "moved", "missing"] = _decode(answer)
        return word

    async def restore_projection(
        self, workflow: str, *, name: str
    ) -> Literal["restored", "newer", "missing"]:
        """Go back to what was live before the last switch, unless a newer one is there."""
        call = {"id": workflow, "name": name}
        answer = await self._run("restore_projection", self._keys.partition(workflow), **call)
        word: Literal["restored", "newer", "missing"] = _decode(answer)
        return word

    async def project(self, partition: int, workflows: list[dict[str, Any]]) -> int:
        """Write documents (see `project.lua`); returns of how many workflows they were news."""
        return int(_decode(await self._run("project", partition, workflows=workflows)))


def _is_unknown(error: ResponseError) -> bool:
    """Redis does not know a function, or functions at all."""
    said = str(error).lower()
    return "function not found" in said or "unknown command" in said


def _state_outcome_of(answer: list[Any]) -> Any:
    match answer:
        case ["appended", values]:
            return [value or None for value in values]
        case ["ended", status]:
            return Ended(status)
        case ["refused", name, problem]:
            return StateRefused(name, problem)
        case _:
            return _outcome_of(answer)


def _outcome_of(answer: list[Any]) -> Any:
    word, *facts = answer
    return _OUTCOMES[word](*facts)
