"""Agents: asked for, claimed by launchers, settled."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..answers import ClaimedJobs, Found, Lost
from .caller import Caller, decode


class _Spec(msgspec.Struct):
    memory_bytes: int | None = None


class _Requested(msgspec.Struct):
    """What matters here of `job.requested`."""

    spec: _Spec


_requested = msgspec.json.Decoder(_Requested).decode
_claimed_jobs = msgspec.msgpack.Decoder(ClaimedJobs).decode


class JobScripts(Caller):
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
        word, *facts = decode(answer)
        self._note([], word == "lost")
        return Lost() if word == "lost" else Found(*facts)

    async def stop_job(
        self, workflow: str, *, step: str, index: int, token: str, job: str
    ) -> Literal["stopped", "lost"]:
        call = {"id": workflow, "step": step, "index": index, "token": token, "job": job}
        word: Literal["stopped", "lost"]
        (word,) = decode(await self._run("stop_job", self._keys.partition(workflow), **call))
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
        answer = decode(await self._run("settle_job", self._keys.partition(workflow), **call))
        word: Literal["appended", "stopping", "lost"] = answer[0]
        self._note([], word == "lost")
        return word

    async def write_logs(
        self, workflow: str, *, job: str, lines: list[tuple[int, str, str]], limit: int, after: int
    ) -> None:
        """Keep lines (ts in ms, stream, text) that follow `after` others; 0 begins anew."""
        call = {"id": workflow, "job": job, "lines": lines, "max": limit, "after": after}
        await self._run("write_logs", self._keys.partition(workflow), **call)
