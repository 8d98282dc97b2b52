"""Fold the workflows of a lane from its feed, commit what the scheduler decides.

Why nothing is lost: the feed carries every append; its position moves only after the engine has
committed what the entries called for; whoever owns the lane next starts at that position and
decides again. Why nothing happens twice: a commit needs the lane's token, and deciding again on a
log that has the events already gives nothing new.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing

import anyio
import msgspec
import structlog
from redis import exceptions

from ..core import events as e
from ..core.answers import Appended, Conflict, Fenced
from ..core.definition import Definition
from ..core.errors import WorkflowNotFound
from ..core.log import EventLog, FeedEntry
from ..projections.workflow import (
    ALL,
    Gap,
    RolledBack,
    WorkflowView,
    apply,
    check_follows,
    fold,
)
from .binding import NeedsBlob, result_of
from .lane import Lane, LaneLost
from .projector import Projector
from .scheduler import JOINED, Decision, decide

log = structlog.get_logger()

#: Workflows whose commits are under way at the same time.
COMMITS = 8
#: Ended workflows remembered, so that echoes of their last events cost no look at the log.
REMEMBERED = 10_000


class Held:
    """A workflow in memory: its view, its definition, payloads that decisions needed."""

    def __init__(self, view: WorkflowView, definition: Definition) -> None:
        self.view = view
        self.definition = definition
        self.blobs: dict[str, bytes] = {}
        self.commits = 0


class Engine:
    """Schedule the workflows of one lane for as long as it is ours."""

    def __init__(
        self,
        event_log: EventLog,
        lane: Lane,
        projector: Projector,
        *,
        watch: Callable[[WorkflowView], None] | None = None,
    ) -> None:
        self._log = event_log
        self._lane = lane
        self._projector = projector
        #: Set when a private lane is done with or was lost.
        self.stopped = anyio.Event()
        self._watch = watch
        self._held: dict[str, Held] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Serve the lane. A shared one is acquired again when it was lost, a private one is not."""
        while not self.stopped.is_set():
            await self._lane.acquire()
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._lane.keep)
                    tasks.start_soon(self._serve)
            except* LaneLost:
                log.warning("engine.lane_lost", lane=self._lane.name)
                self._held.clear()
                self._lane.token = ""
                if self._lane.is_private:
                    self.stopped.set()

    async def _serve(self) -> None:
        position = await self._lane.open_feed()
        if not await self._lane.is_stocked():
            await self._take_stock()
            await self._lane.mark_stocked()
        async with aclosing(self._lane.batches(position)) as batches:
            async for batch in batches:
                if batch.was_away:
                    await self._look_again()
                await self._handle(batch.entries)

    async def _look_again(self) -> None:
        """After Redis was away its logs may have lost their tails: compare what we hold."""
        for held in list(self._held.values()):
            await self._catch_up(held)
            await self._advance(held)

    async def _take_stock(self) -> None:
        """Decide on every workflow that has not ended: the feed tells nothing of before."""
        for workflow in await self._log.active(self._lane.partition, self._lane.name):
            await self._take(workflow, [], "")

    async def _handle(self, entries: list[FeedEntry]) -> None:
        by_workflow: dict[str, list[FeedEntry]] = {}
        for entry in entries:
            if entry.workflow not in self._ended:
                by_workflow.setdefault(entry.workflow, []).append(entry)
        limiter = anyio.CapacityLimiter(COMMITS)
        async with anyio.create_task_group() as tasks:
            for workflow, news in by_workflow.items():
                events = [recorded for entry in news for recorded in entry.events]
                tasks.start_soon(self._take_in_turn, limiter, workflow, events, news[0].previous)

    async def _take_in_turn(
        self,
        limiter: anyio.CapacityLimiter,
        workflow: str,
        events: list[e.Recorded],
        previous: str,
    ) -> None:
        async with limiter:
            await self._take(workflow, events, previous)

    async def _take(self, workflow: str, events: list[e.Recorded], previous: str) -> None:
        """Bring a workflow up to date and on its way.

        A log that cannot be folded or decided on is set aside: it must not stop the others.
        """
        try:
            held = self._held.get(workflow)
            if held is None:
                held = await self._load(workflow)
            else:
                await self._apply(held, events, previous)
            await self._advance(held)
        except (LaneLost, exceptions.ConnectionError, exceptions.NoPermissionError):
            raise
        except Exception:  # whatever is wrong with it is wrong with this one workflow
            log.exception("engine.workflow_set_aside", workflow=workflow)
            self._held.pop(workflow, None)

    async def _load(self, workflow: str) -> Held:
        events = await self._log.read(workflow)
        if not events:
            raise WorkflowNotFound(workflow)
        view = fold(workflow, events)
        view.touched.add(ALL)
        held = Held(view, await self._log.get_definition(view.definition_digest))
        self._held[workflow] = held
        return held

    async def _apply(self, held: Held, events: list[e.Recorded], previous: str) -> None:
        """Advance the view by events of the feed; read the log where they do not follow."""
        try:
            if events and events[0].version == held.view.version + 1:
                check_follows(held.view, previous)
            for recorded in events:
                apply(held.view, recorded)
        except Gap:
            await self._catch_up(held)
        except RolledBack:
            await self._fold_again(held)

    async def _fold_again(self, held: Held) -> None:
        log.error("engine.log_rolled_back", workflow=held.view.id, version=held.view.version)
        held.view = fold(held.view.id, await self._log.read(held.view.id))
        held.view.touched.add(ALL)

    async def _catch_up(self, held: Held) -> None:
        """Apply what the log has above the view's version, if it still has that version."""
        view = held.view
        events = await self._log.read(view.id, after=max(0, view.version - 1))
        try:
            if view.version and (not events or events[0].version != view.version):
                raise RolledBack(view.id)
            for recorded in events:
                apply(view, recorded)
        except RolledBack:
            await self._fold_again(held)

    async def _advance(self, held: Held) -> None:
        """Decide and commit until nothing is due."""
        while not held.view.ended:
            touched, held.view.touched = held.view.touched, set()
            decision = await self._decide(held, touched)
            self._show(held.view)
            if not decision:
                self._projector.mark(held.view, held.definition)
                return
            await self._commit(held, decision, touched)
        await self._end(held)

    async def _end(self, held: Held) -> None:
        self._remember(held.view.id)
        await self._projector.write(held.view, held.definition)
        self._show(held.view)
        if self._lane.is_private:
            self.stopped.set()

    def _show(self, view: WorkflowView) -> None:
        if self._watch:
            self._watch(view)

    async def _decide(self, held: Held, touched: set[str]) -> Decision:
        while True:
            try:
                decision = decide(held.view, held.definition, held.blobs, touched)
                if decision.finish:
                    await self._finish(held, decision)
                return decision
            except NeedsBlob as needed:
                data = await self._log.get_blob(held.view.id, needed.digest)
                held.blobs[needed.digest] = data

    async def _finish(self, held: Held, decision: Decision) -> None:
        """Add the event that completes the workflow, with its result."""
        result = result_of(held.definition, held.view, held.blobs)
        if len(result) > JOINED:
            text = f"the results of the run have {len(result):,} bytes, the limit is {JOINED:,}"
            decision.add(e.WorkflowFailed(e.Failure("TooLarge", text)), None)
            decision.status = "failed"
            return
        cause = 1 - len(decision.events) if decision.events else held.view.version
        if len(result) > self._log.settings.inline_limit:
            event = e.WorkflowCompleted(blob=await self._log.put_blob(held.view.id, result))
        else:
            event = e.WorkflowCompleted(result=msgspec.Raw(result))
        decision.add(event, cause)
        decision.status = "completed"

    async def _commit(self, held: Held, decision: Decision, touched: set[str]) -> None:
        view = held.view
        held.commits += 1
        outcome = await self._log.scripts.commit(
            view.id,
            lane=self._lane.name,
            token=self._lane.token,
            commit=f"{self._lane.token}#{held.commits}",
            events=[(ev.type, e.encode_event(ev), cause) for ev, cause in decision.events],
            queue=decision.queue,
            cancel=decision.cancel,
            phase=decision.phase,
            by="engine",
            status=decision.status,
            version=view.version if decision.status else None,
        )
        match outcome:
            case Fenced():
                raise LaneLost
            case Appended(version=version) if self._follows(view, decision, version):
                self._apply_own(view, decision, outcome)
            case Conflict():
                view.touched |= touched
                await self._catch_up(held)
            case _:
                await self._catch_up(held)

    @staticmethod
    def _follows(view: WorkflowView, decision: Decision, version: int) -> bool:
        """Nobody else wrote in between: our events are the next ones, as we know them."""
        return not decision.cancel and version == view.version + len(decision.events)

    @staticmethod
    def _apply_own(view: WorkflowView, decision: Decision, outcome: Appended) -> None:
        first = view.version + 1
        for position, (event, cause) in enumerate(decision.events):
            version = first + position
            if cause is not None and cause <= 0:
                cause = first - cause
            last = version == outcome.version
            apply(
                view,
                e.Recorded(
                    version, outcome.ts, event, "engine", cause, outcome.digest if last else ""
                ),
            )

    def _remember(self, workflow: str) -> None:
        self._held.pop(workflow, None)
        self._ended[workflow] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
