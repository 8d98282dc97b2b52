"""What lies beside the logs: documents, archives, and what is to go."""

from __future__ import annotations

from typing import Any, Literal

from ..answers import CommandOutcome
from .caller import Caller, decode, outcome_of


class KeepingScripts(Caller):
    async def project(self, partition: int, workflows: list[dict[str, Any]]) -> int:
        """Write documents (see `project.lua`); returns of how many workflows they were news."""
        return int(decode(await self._run("project", partition, workflows=workflows)))

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
        outcome: CommandOutcome = outcome_of(decode(answer))
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
        word = decode(answer)[0]
        return word

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
        word: Literal["archived", "moved", "missing"] = decode(answer)
        return word

    async def hold(self, partition: int, ids: list[str]) -> int:
        """Let ended workflows wait for the archive instead of expiring; how many did not yet."""
        return int(decode(await self._run("hold", partition, ids=ids)))

    async def unlist(self, partition: int, *, part: str, ids: list[str], dry: bool = False) -> int:
        """Take members without a workflow off a listing; how many there are."""
        call = {"part": part, "ids": ids, **({"dry": True} if dry else {})}
        return int(decode(await self._run("unlist", partition, **call)))

    async def clear_leftovers(
        self, workflow: str, *, parts: list[str], dry: bool = False
    ) -> tuple[int, int]:
        """Delete keys without TTL of a workflow that is not there; (keys, bytes) that it has."""
        call = {"id": workflow, "parts": parts, **({"dry": True} if dry else {})}
        partition = self._keys.partition(workflow)
        keys, size = decode(await self._run("clear_leftovers", partition, **call))
        return int(keys), int(size)

    async def drop_shadow(
        self, workflow: str, *, name: str, kept_ms: int, age_ms: int, dry: bool = False
    ) -> int:
        """Delete what a rebuild left that is at least that old; its bytes, 0: it stays."""
        call = {"id": workflow, "name": name, "kept_ms": kept_ms, "age_ms": age_ms}
        given = {"dry": True} if dry else {}
        partition = self._keys.partition(workflow)
        return int(decode(await self._run("drop_shadow", partition, **call, **given)))

    async def keep_shadow(
        self, workflow: str, *, name: str, made: dict[str, Any], ttl_ms: int
    ) -> bool:
        """Keep a projection made anew (see `parts/rebuilding.lua`); False: the log has gone."""
        call = {"id": workflow, "name": name, "made": made, "ttl_ms": ttl_ms}
        return bool(decode(await self._run("keep_shadow", self._keys.partition(workflow), **call)))

    async def switch_projection(
        self, workflow: str, *, name: str, ttl_ms: int
    ) -> Literal["switched", "newer", "moved", "missing"]:
        """Let the projection made anew take the place of the live one, which is kept a while."""
        call = {"id": workflow, "name": name, "ttl_ms": ttl_ms}
        answer = await self._run("switch_projection", self._keys.partition(workflow), **call)
        word: Literal["switched", "newer", "moved", "missing"] = decode(answer)
        return word

    async def restore_projection(
        self, workflow: str, *, name: str
    ) -> Literal["restored", "newer", "missing"]:
        """Go back to what was live before the last switch, unless a newer one is there."""
        call = {"id": workflow, "name": name}
        answer = await self._run("restore_projection", self._keys.partition(workflow), **call)
        word: Literal["restored", "newer", "missing"] = decode(answer)
        return word
