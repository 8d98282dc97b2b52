"""What events do not say of their workflow: its definition's name and its tags."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from ..core.events import WorkflowCreated
from ..core.log import EventLog, FeedEntry

#: Workflows that are remembered.
REMEMBERED = 20_000


class About(msgspec.Struct, frozen=True):
    """No name: the workflow has been deleted, or has expired."""

    name: str = ""
    tags: dict[str, str] = {}

    def has(self, names: frozenset[str], tags: dict[str, str]) -> bool:
        """Whether it is one of these names, and has all these tags; empty takes all."""
        return (not names or self.name in names) and all(
            self.tags.get(key) == value for key, value in tags.items()
        )


class Abouts:
    """Remember what the feed tells; look up the rest in the logs."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._known: OrderedDict[str, About] = OrderedDict()

    def note(self, entry: FeedEntry) -> None:
        if entry.first != 1:
            return
        for recorded in entry.events()[:1]:
            if isinstance(recorded.event, WorkflowCreated):
                self._remember(entry.workflow, recorded.event)

    async def get(self, workflow: str) -> About:
        if workflow not in self._known:
            first = await self._log.read(workflow, limit=1)
            event = first[0].event if first else None
            if not isinstance(event, WorkflowCreated):
                return About()
            self._remember(workflow, event)
        return self._known[workflow]

    def _remember(self, workflow: str, event: WorkflowCreated) -> None:
        self._known[workflow] = About(event.name, event.tags)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
