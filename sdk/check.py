"""Check what an installation holds against every invariant that can be seen there. Only reads.

What is wrong with a log stays wrong. What is wrong with keys and containers may have been on its
way to being right, so that is looked at again, and counts when it is said in the same words each
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
from redis import exceptions

from ..core.errors import WorkflowNotFound
from ..core.log import EventLog
from ..projections.invariants import (
    KEYS,
    Counts,
    Graph,
    Kept,
    Raw,
    Story,
    Violation,
    check_effects,
    check_feed,
    check_kept,
    check_leftovers,
    check_limits,
    check_projections,
    check_remains,
    check_shared,
    count,
    read_effects,
    tell,
)
from .check_keys import KeyReader, unowned
from .check_remains import find_remains

#: How often to look, and seconds between two looks.
LOOKS, PAUSE = 4, 2.0


class Question(msgspec.Struct, frozen=True):
    """What to check, and what is known beside it."""

    #: None: all workflows, and what they share.
    workflows: list[str] | None = None
    #: Limits of queues that held all the time.
    queues: dict[str, int] = {}
    #: A file, or a folder of files, in which step bodies noted that they ran: lines of `workflow
    #: step index attempt`.
    effects: Path | None = None


class Checked(msgspec.Struct, frozen=True):
    clean: bool
    violations: list[Violation]
    counts: Counts
    #: What could not be looked at, and why.
    left_out: list[str] = []


async def check(log: EventLog, question: Question) -> Checked:
    """Raises WorkflowNotFound."""
    checked = await _Look(log, question).look()
    lasting = set(checked.violations)
    for _ in range(LOOKS - 1):
        if not lasting:
            break
        await anyio.sleep(PAUSE)
        checked = await _Look(log, question).look()
        lasting &= set(checked.violations)
    return msgspec.structs.replace(checked, clean=not lasting, violations=sorted(lasting))


class _Look:
    """One look at everything that was asked for."""

    def __init__(self, log: EventLog, question: Question) -> None:
        self._log = log
        self._question = question
        self._reader = KeyReader(log)
        self._stories: dict[str, Story] = {}
        self._kept: dict[str, Kept] = {}
        self._digests: dict[str, list[str]] = {}
        self._found: list[Violation] = []

    async def look(self) -> Checked:
        names = await self._reader.names()
        parts = _by_workflow(names)
        for workflow in self._wanted(parts):
            try:
                await self._look_at(workflow, parts[workflow])
            except (exceptions.ResponseError, msgspec.DecodeError) as error:
                text = f"what is kept of it cannot be read: {error}"
                self._found.append(Violation(workflow, 0, KEYS, text))
        if self._question.workflows is None:
            await self._look_at_shared(names)
        left_out = await self._look_at_host()
        ran = await self._look_at_effects()
        for story in self._stories.values():
            self._found += story.notes.found
        here = [one for name, one in self._stories.items() if not self._kept[name].is_imported]
        self._found += check_limits(here, self._question.queues)
        return Checked(
            not self._found, sorted(self._found), count(self._stories.values(), ran), left_out
        )

    def _wanted(self, parts: Mapping[str, Sequence[str]]) -> Iterable[str]:
        if self._question.workflows is None:
            return sorted(name for name, of in parts.items() if "events" in of)
        for name in self._question.workflows:
            if name not in parts:
                raise WorkflowNotFound(name)
        return self._question.workflows

    async def _look_at(self, workflow: str, parts: Sequence[str]) -> None:
        raw = await self._reader.entries(self._log.keys.events(workflow))
        graph = await self._graph(raw)
        last = "(" + raw[-1][0].decode() if raw else "-"
        kept, news = await self._reader.kept(workflow, [step.id for step in graph.steps], last)
        story, entries = tell(workflow, [*raw, *news], graph)
        check_kept(story, kept)
        check_projections(story, entries, kept)
        waits = await self._reader.is_archivable(workflow)
        lifetimes = await self._reader.lifetimes(workflow, parts)
        check_leftovers(story, lifetimes, imported=kept.is_imported, is_archivable=waits)
        self._stories[workflow], self._kept[workflow] = story, kept
        self._digests[workflow] = [entry.digest for entry in entries]

    async def _graph(self, raw: Sequence[Raw]) -> Graph:
        return await self._reader.graph(_definition(raw))

    async def _look_at_shared(self, names: Sequence[str]) -> None:
        workflows = {name: (self._stories[name], self._kept[name]) for name in self._stories}
        graphs = {name: story.graph for name, story in self._stories.items()}
        self._found += check_shared(await self._reader.shared(names, graphs), workflows)
        self._found += unowned(names, self._log.keys.partitions)
        for name in names:
            if name.startswith("flow:") and name.endswith(":feed"):
                entries = await self._reader.entries(self._log.keys.prefix + name)
                self._found += check_feed(name, entries, self._digests)

    async def _look_at_host(self) -> list[str]:
        data: bytes | None = await self._log.redis.get(self._log.keys.installation)
        if data is None:  # no launcher ever ran
            return []
        settings = self._log.settings
        found, left_out = await anyio.to_thread.run_sync(find_remains, settings, data.decode())
        all_known = self._question.workflows is None
        self._found += check_remains(found, self._stories, all_known=all_known)
        return left_out

    async def _look_at_effects(self) -> int | None:
        path = self._question.effects
        if path is None:
            return None
        effects = read_effects(await anyio.to_thread.run_sync(_lines, path))
        if self._question.workflows is not None:
            chosen = set(self._question.workflows)
            effects = type(effects)({e: n for e, n in effects.items() if e[0] in chosen})
        self._found += check_effects(self._stories, effects)
        return effects.total()


def _by_workflow(names: Iterable[str]) -> dict[str, list[str]]:
    """Parts of the keys of each workflow; "" is its document."""
    parts: dict[str, list[str]] = {}
    for name in names:
        kind, _, rest = name.partition(":")
        if kind == "workflow":
            workflow, _, part = rest.partition(":")
            parts.setdefault(workflow, []).append(part)
    return parts


class _Created(msgspec.Struct, frozen=True):
    definition: str = ""


def _definition(raw: Sequence[Raw]) -> str:
    """The digest that the first entry names, if it can be read."""
    try:
        return msgspec.json.decode(raw[0][1][b"data"], type=_Created).definition
    except (IndexError, KeyError, msgspec.DecodeError):
        return ""


def _lines(path: Path) -> list[str]:
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    return [line for file in files for line in file.read_text().splitlines()]
