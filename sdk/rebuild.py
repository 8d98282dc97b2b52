"""Make projections anew from the logs: build beside the live ones, compare, switch, or go back.

What differs is built into a shadow key first; nothing that is live changes before all has been
compared. Then each workflow is switched by one script, and what was live is kept for going back.
How far it is, is kept in Redis with every portion: whoever was killed goes on from there, and what
was built twice is the same. Nobody is told: no event, no feed, no bell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from ..core.errors import WorkflowNotFound
from ..core.log import EventLog
from ..projections.catalogue import PROJECTIONS
from ..projections.rebuilding import Difference, compare
from .projected import LiveReader

ALL = "all"
#: How long shadows, what was live before, and the progress are kept, ms.
KEPT_MS = 3 * 24 * 3600 * 1000
#: Workflows after which progress is kept, differences that are shown, tries to catch a workflow
#: that goes on meanwhile.
PORTION, SHOWN, TRIES = 20, 10, 50

Phase = Literal["build", "switch", "done"]


class Progress(msgspec.Struct):
    """How far a rebuild is, and what it found."""

    name: str
    phase: Phase = "build"
    #: Workflows that there were at the beginning, and those looked at.
    total: int = 0
    looked: int = 0
    #: The last one, in the order of ids.
    after: str = ""
    #: Projections that are as they should be, and that are not.
    same: int = 0
    different: int = 0
    switched: int = 0
    #: Projections that others put right meanwhile, or whose workflow has gone.
    left: int = 0
    #: Workflows whose log cannot be folded, and why the first ones cannot.
    damaged: int = 0
    problems: list[str] = []
    #: The first differences.
    first: list[Difference] = []
    #: It was begun by somebody who did not finish it.
    resumed: bool = False


Watch = Callable[[Progress], None]


def names_of(name: str) -> list[str]:
    """The projections that a name stands for; none when it is no name."""
    return [one.name for one in PROJECTIONS if name in (one.name, ALL)]


async def rebuild(
    event_log: EventLog,
    name: str,
    *,
    workflow: str | None = None,
    switch: bool = True,
    watch: Watch = lambda progress: None,
) -> Progress:
    """Make a projection anew, or all of them; of one workflow when it is given.

    Without `switch` it is only compared. Raises WorkflowNotFound.
    """
    return await _Rebuild(event_log, name, watch).run(workflow, switch=switch)


class Restored(msgspec.Struct):
    """What going back came to: projections put back, and left because newer ones are there."""

    name: str
    restored: int = 0
    newer: int = 0


async def roll_back(event_log: EventLog, name: str, *, workflow: str | None = None) -> Restored:
    """Put back what was live before the last switch, where nothing newer has been written."""
    found = Restored(name)
    reader = LiveReader(event_log)
    for projection in names_of(name):
        for one in [workflow] if workflow else await reader.marked("former", projection):
            word = await event_log.scripts.restore_projection(one, name=projection)
            found.restored += word == "restored"
            found.newer += word == "newer"
    return found


class _Rebuild:
    def __init__(self, event_log: EventLog, name: str, watch: Watch) -> None:
        self._log = event_log
        self._names = names_of(name)
        self._key = event_log.keys.shared(f"rebuild:{name}")
        self._watch = watch
        self._reader = LiveReader(event_log)
        self._progress = Progress(name)
        self._is_kept = True

    async def run(self, workflow: str | None, *, switch: bool) -> Progress:
        if "listings" in self._names:
            await self._reader.index()
        if workflow is not None or not switch:
            self._is_kept = False
            found = [workflow] if workflow is not None else await self._reader.workflows()
            await self._build(found, keep=switch)
        else:
            await self._resume()
            await self._build_all()
        progress = self._progress
        if workflow is not None and not progress.looked and not progress.damaged:
            raise WorkflowNotFound(workflow)
        if switch:
            await self._switch_all([workflow] if workflow is not None else None)
        return progress

    async def _resume(self) -> None:
        """Go on with a rebuild that somebody began and did not finish."""
        data: dict[bytes, bytes] = await self._log.redis.hgetall(self._key)
        if data.get(b"phase") in (b"build", b"switch"):
            self._progress = msgspec.json.decode(data[b"progress"], type=Progress)
            self._progress.resumed = True

    async def _build_all(self) -> None:
        if self._progress.phase != "build":
            return
        workflows = await self._reader.workflows()
        progress = self._progress
        todo = [one for one in workflows if one > progress.after]
        progress.total = progress.looked + progress.damaged + len(todo)
        await self._build(todo, keep=True)
        progress.phase = "switch"
        await self._note()

    async def _build(self, workflows: Sequence[str], *, keep: bool) -> None:
        progress = self._progress
        progress.total = progress.total or len(workflows)
        for number, workflow in enumerate(workflows, 1):
            if number % PORTION == 1:
                await self._note()
            await self._build_one(workflow, keep=keep)
            progress.after = workflow

    async def _build_one(self, workflow: str, *, keep: bool) -> None:
        progress = self._progress
        try:
            differences = await self._make(workflow, self._names, keep=keep)
        except Exception as error:  # whatever is wrong with this log, the others are well
            progress.damaged += 1
            progress.problems = [*progress.problems, f"{workflow}: {_say(error)}"][:SHOWN]
            return
        if differences is None:
            return
        progress.looked += 1
        progress.same += len(self._names) - len(differences)
        progress.different += len(differences)
        progress.first = [*progress.first, *differences][:SHOWN]

    async def _make(
        self, workflow: str, names: Sequence[str], *, keep: bool
    ) -> list[Difference] | None:
        """Compare, and build what differs; None when the workflow has no log."""
        looked = await self._reader.look(workflow)
        if looked is None:
            return None
        made = [found for name in names if (found := compare(name, looked.live, looked.told))]
        for one in made if keep else []:
            name = one.difference.projection
            await self._log.scripts.keep_shadow(
                workflow, name=name, made=one.content, ttl_ms=KEPT_MS
            )
        return [one.difference for one in made]

    async def _switch_all(self, workflows: Sequence[str] | None) -> None:
        """Switch what was built; those that are switched have no shadow any more."""
        number = 0
        for name in self._names:
            for workflow in workflows or await self._reader.marked("shadow", name):
                await self._switch(workflow, name)
                number += 1
                if number % PORTION == 0:
                    await self._note()
        self._progress.phase = "done"
        await self._note()

    async def _switch(self, workflow: str, name: str) -> None:
        """Switch one; where the workflow has gone on, build again and try again."""
        for _ in range(TRIES):
            word = await self._log.scripts.switch_projection(workflow, name=name, ttl_ms=KEPT_MS)
            if word == "switched":
                self._progress.switched += 1
                return
            if word == "missing":
                break
            if not await self._make(workflow, [name], keep=True):
                self._progress.left += 1
                return
        else:
            self._progress.left += 1

    async def _note(self) -> None:
        """Keep how far it is, and tell whoever watches."""
        self._watch(self._progress)
        if not self._is_kept:
            return
        fields: dict[Any, Any] = {
            "phase": self._progress.phase,
            "progress": msgspec.json.encode(self._progress),
        }

        async def write() -> None:
            async with self._log.redis.pipeline(transaction=True) as pipe:
                pipe.hset(self._key, mapping=fields)
                pipe.pexpire(self._key, KEPT_MS)
                await pipe.execute()

        await self._log.connection.call(write)


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
