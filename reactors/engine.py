"""Serve a lane: take in what its feed tells of workflows, commit what the scheduler decides.

Why nothing is lost: the feed carries every append; its position moves only after the engine has
committed what the entries called for; whoever owns the lane next starts at that position and
decides again. Why nothing happens twice: a commit needs the lane's token, and deciding again on a
log that has the events already gives nothing new.

The engine's own commits are not on its feed: it applies them as it makes them. Those that leave it
something to decide are, for a successor would not know of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import TypeVar

import anyio
import msgspec
import structlog
from redis import exceptions

from ..core import events as e
from ..core.answers import Appended, CommitOutcome, Conflict, Fenced
from ..core.log import EventLog, FeedEntry
from ..projections.workflow import WorkflowView
from .binding import NeedsBlob, result_of
from .commits import Commits, Proposal, apply_all, portions, recorded
from .counting import count_news
from .held import Held
from .lane import Lane
from .projector import Projector
from .scheduler import JOINED, Decision, decide
from .session import LaneLost
from .views import Views

log = structlog.get_logger()

#: Workflows whose logs are looked at together.
TOGETHER = 100
#: Longest time that the last documents of a workflow hold up who is to stop, seconds.
FAREWELL = 5.0

T = TypeVar("T")


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
        self.lane = lane
        self._projector = projector
        #: Set when a private lane is done with or was lost.
        self.stopped = anyio.Event()
        self._watch = watch
        self.views = Views(event_log, self._let_go)
        self.commits = Commits(event_log, lane)
        #: Not one of anyio: those take a turn of the loop each time.
        self._working = asyncio.Lock()

    async def run(self) -> None:
        """Serve the lane. A shared one is acquired again when it was lost, a private one is not."""
        while not self.stopped.is_set():
            await self.lane.acquire()
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.lane.keep)
                    tasks.start_soon(self._serve)
            except* LaneLost:
                log.warning("engine.lane_lost", lane=self.lane.name)
                self.views.clear()
                self.lane.token = ""
                self._let_go()

    async def _serve(self) -> None:
        connection = self._log.connection
        async with connection.tail() as tail:
            await connection.call(tail.open)  # first: what we read before may get lost
            position = await self.lane.open_feed()
            if not await self.lane.is_stocked():
                await self._take_stock()
                await self.lane.mark_stocked()
            async with aclosing(self.lane.batches(tail, position)) as batches:
                async for batch in batches:
                    async with self._working:
                        if batch.was_away:
                            await self._look_again()
                        await self._handle(batch.entries)

    async def rest(self) -> None:
        """Finish what is under way and begin nothing more; documents are up to date then."""
        await self._working.acquire()
        await self._projector.flush()

    async def _look_again(self) -> None:
        """After Redis was away its logs may have lost their tails: compare what we hold."""
        self.views.doubt_ends()
        for some in _together(self.views.holdings.all()):
            await self._catch_up(some)
        await self._take_stock()

    async def _catch_up(self, helds: Sequence[Held]) -> None:
        """Compare workflows that we hold with their logs, and decide on them."""
        taken: list[Held] = []
        found: set[str] = set()

        async def catch_up(held: Held) -> None:
            if await self.views.catch_up(held):
                found.add(held.view.id)

        try:
            for held in helds:
                await held.take()
                taken.append(held)
            async with anyio.create_task_group() as tasks:
                for held in helds:
                    tasks.start_soon(catch_up, held)
            await self.advance([held for held in helds if held.view.id in found])
        finally:
            for held in taken:
                held.release()

    async def _take_stock(self) -> None:
        """Decide on every workflow that has not ended and that we do not hold.

        The feed tells nothing of those that were there before it, or that it has lost.
        """
        known = {held.view.id for held in self.views.holdings.all()}
        lane = self.lane
        others = await self._log.active(lane.partition, lane.name, besides=known)
        for some in _together(others):
            await self._deal_with({workflow: [] for workflow in some})

    async def _handle(self, entries: list[FeedEntry]) -> None:
        news: dict[str, list[FeedEntry]] = {}
        for entry in entries:
            if self.views.is_news(entry):
                news.setdefault(entry.workflow, []).append(entry)
        await self._deal_with(news)

    async def _deal_with(self, news: dict[str, list[FeedEntry]]) -> None:
        """Bring workflows up to date, by what the feed tells of each, and decide on them."""
        taken = await self._take_all(news)
        try:
            await self.advance(taken)
        finally:
            for held in taken:
                held.release()

    async def _take_all(self, news: dict[str, list[FeedEntry]]) -> list[Held]:
        """Bring workflows up to date; logs that have to be read for that are read together."""
        taken: dict[str, Held] = {}

        async def take(workflow: str, found: list[FeedEntry]) -> None:
            events = [one for entry in found for one in entry.events()]
            previous = found[0].previous if found else ""
            if held := await self.views.take(workflow, events, previous):
                taken[workflow] = held
                if self._log.instruments:
                    count_news(self._log.instruments, held.view.name, events)

        to_read: dict[str, list[FeedEntry]] = {}
        for workflow, found in news.items():
            if self.views.holdings.get(workflow):
                await take(workflow, found)
            else:
                to_read[workflow] = found
        if to_read:
            async with anyio.create_task_group() as tasks:
                for workflow, found in to_read.items():
                    tasks.start_soon(take, workflow, found)
        return [taken[workflow] for workflow in news if workflow in taken]

    async def advance(self, helds: list[Held]) -> None:
        """Decide on workflows and commit, all of them together, until nothing is due."""
        while helds:
            await self._end([held for held in helds if held.view.ended])
            proposals = [found for held in helds if (found := await self._propose(held))]
            helds = []
            for some in portions(proposals):
                helds += await self._commit(some)

    async def _propose(self, held: Held) -> Proposal | None:
        """What is due, if anything is."""
        if held.view.ended:
            return None
        if held.view.status == "running" and not held.view.touched:  # tasks have begun, no more
            self.show(held)
            return None
        touched, held.view.touched = held.view.touched, set()
        decision = await self._try_to_decide(held, touched)
        if decision:
            return Proposal(held, decision, touched)
        if decision is not None:
            self.show(held)
        return None

    async def _try_to_decide(self, held: Held, touched: set[str]) -> Decision | None:
        """None when the workflow was set aside, because nothing can be decided on it."""
        try:
            return await self._decide(held, touched)
        except Exception as error:  # whatever is wrong with it is wrong with this one workflow
            await self.views.blame(held.view.id, error)
            return None

    async def _end(self, helds: list[Held]) -> None:
        """Write the last documents of workflows, and let go of them."""
        if not helds:
            return
        last = [(held.view, held.definition) for held in helds]
        with anyio.move_on_after(FAREWELL, shield=True) as scope:
            await self._projector.write(last)
        if scope.cancelled_caught:  # Redis is away: wait on, unless we are to stop
            await self._projector.write(last)
        for view, _ in last:
            self._forget(view)

    def _forget(self, view: WorkflowView) -> None:
        self.views.end(view.id)  # only now: a successor has to write what we could not
        if self._watch:
            self._watch(view)
        self._let_go()

    def _let_go(self) -> None:
        """A private lane has one workflow, and is done with when that is."""
        if self.lane.is_private:
            self.stopped.set()

    def show(self, held: Held) -> None:
        """Nothing is due: let documents and whoever watches see how far the workflow is."""
        self._projector.mark(held.view, held.definition)
        if self._watch:
            self._watch(held.view)

    async def _decide(self, held: Held, touched: set[str]) -> Decision:
        while True:
            try:
                decision = decide(held.view, held.definition, held.cache, touched)
                if decision.finish:
                    await self._finish(held, decision)
                return decision
            except NeedsBlob as needed:
                data = await self._log.get_blob(held.view.id, needed.digest)
                held.cache.blobs[needed.digest] = data

    async def _finish(self, held: Held, decision: Decision) -> None:
        """Add the event that completes the workflow, with its result."""
        result = result_of(held.definition, held.view, held.cache.blobs)
        if len(result) > JOINED:
            text = f"the results of the run have {len(result):,} bytes, the limit is {JOINED:,}"
            decision.add(e.WorkflowFailed(e.Failure("TooLarge", text)), None)
            decision.end("failed")
        elif len(result) > self._log.settings.inline_limit:
            blob = await self._log.put_blob(held.view.id, result)
            decision.complete(e.WorkflowCompleted(blob=blob), held.view.version)
        else:
            event = e.WorkflowCompleted(result=msgspec.Raw(result))
            decision.complete(event, held.view.version)

    async def _commit(self, proposals: list[Proposal]) -> list[Held]:
        """Commit decisions; returns the workflows on which to decide again."""
        try:
            outcomes = await self.commits.send(proposals)
        except exceptions.ResponseError:
            if len(proposals) > 1:  # one of them is to blame, the others go on
                return [held for found in proposals for held in await self._commit([found])]
            await self.views.set_aside(proposals[0].held.view.id)
            return []
        again = [
            await self._settle(found, outcome)
            for found, outcome in zip(proposals, outcomes, strict=True)
        ]
        return [held for held in again if held]

    async def _settle(self, proposal: Proposal, outcome: CommitOutcome) -> Held | None:
        """Apply what was committed; returns the workflow when it has to be decided on again."""
        held, decision = proposal.held, proposal.decision
        view = held.view
        self.commits.count(held, decision, outcome)
        match outcome:
            case Fenced():
                raise LaneLost
            case Appended(version=version) if self._follows(view, decision, version):
                held.is_proven = True
                events = recorded(decision, view.version + 1, outcome.ts)
                apply_all(view, events, outcome.digest)
                if not decision.is_whole or view.ended:
                    return held
                view.touched.clear()
                self.show(held)
                return None
            case Conflict():
                view.touched |= proposal.touched
            case _:
                pass
        return held if await self.views.catch_up(held) else None

    @staticmethod
    def _follows(view: WorkflowView, decision: Decision, version: int) -> bool:
        """Nobody else wrote in between: our events are the next ones, as we know them."""
        return not decision.cancel and version == view.version + len(decision.events)


def _together(all_of_them: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(all_of_them), TOGETHER):
        yield all_of_them[first : first + TOGETHER]
