"""The workflows that an engine holds, each as its log has it.

Events of the feed carry a view on where they follow; where they do not, its log is read. A view of
a log that Redis has rolled back is folded again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import structlog
from redis import exceptions

from ..core import events as e
from ..core.errors import WorkflowNotFound
from ..core.log import EventLog, FeedEntry
from ..projections.fold import Gap, RolledBack, apply, check_follows, fold
from ..projections.snapshots import load_view
from ..projections.workflow import ALL
from .held import Held, Holdings
from .session import LaneLost

log = structlog.get_logger()

#: What is no fault of the workflow that was being dealt with.
NOT_ITS_FAULT = (LaneLost, exceptions.ConnectionError, exceptions.NoPermissionError)
#: Ended workflows remembered, so that echoes of their last events cost no look at the log.
REMEMBERED = 10_000


class Views:
    """Views by workflow. `lose` is called when Redis has lost one of them whole."""

    def __init__(self, event_log: EventLog, lose: Callable[[], None]) -> None:
        self._log = event_log
        self._lose = lose
        self.holdings = Holdings()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def clear(self) -> None:
        self.holdings.clear()
        self._ended.clear()

    def doubt_ends(self) -> None:
        """Redis may have lost the ends of logs: what had ended may have to end again."""
        self._ended.clear()

    def end(self, workflow: str) -> None:
        """Let go of one that has ended."""
        self.holdings.drop(workflow)
        self._ended[workflow] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def is_news(self, entry: FeedEntry) -> bool:
        """Not what we know already, because we read it from the log."""
        if entry.workflow in self._ended:
            return False
        held = self.holdings.get(entry.workflow)
        if held is None:
            return True
        known = (held.view.version, held.view.digest)
        return entry.last[0] >= known[0] and (held.is_busy or entry.last != known)

    async def take(self, workflow: str, events: list[e.Recorded], previous: str) -> Held | None:
        """Bring a workflow up to date, and hold it for ourselves.

        None when it has to do without us.
        """
        held = self.holdings.get(workflow)
        try:
            if held is None:
                held = await self._load(workflow, events)
                await held.take()
            else:
                await held.take()
                if workflow in self._ended:  # while we waited
                    held.release()
                    return None
                await self._apply(held, events, previous)
        except Exception as error:  # whatever is wrong with it is wrong with this one workflow
            await self.blame(workflow, error)
            return None
        return held

    async def catch_up(self, held: Held) -> bool:
        """Bring a view up to date with the log; False when the workflow was set aside."""
        try:
            await self._read_on(held)
        except Exception as error:  # whatever is wrong with it is wrong with this one workflow
            await self.blame(held.view.id, error)
            return False
        return True

    async def blame(self, workflow: str, error: Exception) -> None:
        """Set a workflow aside on which something failed.

        Raises the error when it is no fault of the workflow.
        """
        if isinstance(error, NOT_ITS_FAULT):
            raise error
        await self.set_aside(workflow)

    async def set_aside(self, workflow: str) -> None:
        """Go on without a workflow that Redis has lost, or whose log is damaged."""
        if await self._log.exists(workflow):
            log.exception("engine.workflow_set_aside", workflow=workflow)
        else:
            log.error("engine.workflow_lost", workflow=workflow)
            self._lose()
        self.holdings.drop(workflow)

    async def _load(self, workflow: str, events: list[e.Recorded]) -> Held:
        is_told = bool(events) and events[0].version == 1 and events[-1].version == len(events)
        view = fold(workflow, events) if is_told else await load_view(self._log, workflow)
        view.touched.add(ALL)
        definition = await self._log.get_definition(view.definition_digest)
        return self.holdings.add(Held(view, definition, is_proven=not is_told))

    async def _apply(self, held: Held, events: list[e.Recorded], previous: str) -> None:
        """Advance the view by events of the feed; read the log where they do not follow."""
        try:
            if events and events[0].version == held.view.version + 1:
                check_follows(held.view, previous)
            for one in events:
                apply(held.view, one)
        except Gap:
            await self._read_on(held)
        except RolledBack:
            await self._fold_again(held)

    async def _fold_again(self, held: Held) -> None:
        view = held.view
        log.error("engine.log_rolled_back", workflow=view.id, version=view.version)
        events = await self._log.read(view.id)
        if not events:
            raise WorkflowNotFound(view.id)
        held.restart(fold(view.id, events))
        held.view.touched.add(ALL)

    async def _read_on(self, held: Held) -> None:
        """Apply what the log has above the view's version, if it still has that version."""
        view, held.is_proven = held.view, True
        events = await self._log.read(view.id, after=max(0, view.version - 1))
        try:
            if view.version and (not events or events[0].version != view.version):
                raise RolledBack(view.id)
            for one in events:
                apply(view, one)
        except RolledBack:
            await self._fold_again(held)
