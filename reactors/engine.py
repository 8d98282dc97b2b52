"""Fold the workflows of a lane from its feed, commit what the scheduler decides.

Why nothing is lost: the feed carries every append; its position moves only after the engine has
committed what the entries called for; whoever owns the lane next starts at that position and
decides again. Why nothing happens twice: a commit needs the lane's token, and deciding again on a
log that has the events already gives nothing new.

The engine's own commits are not on its feed: it applies them as it makes them. Those that leave it
something to decide are, for a successor would not know of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import count

import anyio
import msgspec
import msgspec.structs
import structlog
from redis import exceptions

from ..core import clock
from ..core import events as e
from ..core.answers import Appended, Commit, CommitOutcome, Conflict, Duplicate, Fenced
from ..core.errors import WorkflowNotFound
from ..core.log import EventLog, FeedEntry
from ..projections.snapshots import load_view
from ..projections.workflow import ALL, Gap, RolledBack, WorkflowView, apply, check_follows, fold
from .binding import NeedsBlob, result_of
from .counting import count_decision, count_news
from .held import Held, Holdings
from .lane import Lane, LaneLost
from .projector import Projector
from .scheduler import JOINED, Decision, decide

log = structlog.get_logger()

#: Events and tasks that one call commits at the most.
COMMITTED = 2000
#: Longest time that the last documents of a workflow hold up who is to stop, seconds.
FAREWELL = 5.0
#: What is no fault of the workflow that was being dealt with.
NOT_ITS_FAULT = (LaneLost, exceptions.ConnectionError, exceptions.NoPermissionError)
#: Ended workflows remembered, so that echoes of their last events cost no look at the log.
REMEMBERED = 10_000


class Proposal(msgspec.Struct, frozen=True):
    """A decision on a workflow that is to be committed."""

    held: Held
    decision: Decision
    #: The steps that it looked at.
    touched: set[str]

    @property
    def weight(self) -> int:
        return len(self.decision.events) + sum(len(batch.tasks) for batch in self.decision.queue)


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
        self.holdings = Holdings()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._working = anyio.Lock()
        #: Numbers of commits.
        self._numbers = count(1)

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
                self.holdings.clear()
                self._ended.clear()
                self.lane.token = ""
                if self.lane.is_private:
                    self.stopped.set()

    async def _serve(self) -> None:
        position = await self.lane.open_feed()
        if not await self.lane.is_stocked():
            await self._take_stock()
            await self.lane.mark_stocked()
        async with aclosing(self.lane.batches(position)) as batches:
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
        """After Redis was away its logs may have lost their tails: compare what we hold.

        One that had ended may have to end again.
        """
        self._ended.clear()
        for held in self.holdings.all():
            async with held.alone():
                if await self._catch_up(held):
                    await self.advance([held])
        await self._take_stock()

    async def _take_stock(self) -> None:
        """Decide on every workflow that has not ended and that we do not hold.

        The feed tells nothing of those that were there before it, or that it has lost.
        """
        known = {held.view.id for held in self.holdings.all()}
        lane = self.lane
        for workflow in await self._log.active(lane.partition, lane.name, besides=known):
            if held := await self._take(workflow, [], ""):
                await self.advance([held])
                held.release()

    async def _handle(self, entries: list[FeedEntry]) -> None:
        news: dict[str, list[FeedEntry]] = {}
        for entry in entries:
            if entry.workflow not in self._ended and self._is_news(entry):
                news.setdefault(entry.workflow, []).append(entry)
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
            if held := await self._take(workflow, events, found[0].previous):
                taken[workflow] = held
                if self._log.instruments:
                    count_news(self._log.instruments, held.view.name, events)

        async with anyio.create_task_group() as tasks:
            for workflow, found in news.items():
                if self.holdings.get(workflow):
                    await take(workflow, found)
                else:
                    tasks.start_soon(take, workflow, found)
        return [taken[workflow] for workflow in news if workflow in taken]

    def _is_news(self, entry: FeedEntry) -> bool:
        """Not what we know already, because we read it from the log."""
        held = self.holdings.get(entry.workflow)
        if held is None:
            return True
        known = (held.view.version, held.view.digest)
        return entry.last[0] >= known[0] and (held.is_busy or entry.last != known)

    async def _take(self, workflow: str, events: list[e.Recorded], previous: str) -> Held | None:
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
                await self._apply(held, events, previous)
        except NOT_ITS_FAULT:
            raise
        except Exception:  # whatever is wrong with it is wrong with this one workflow
            await self._set_aside(workflow)
            return None
        return held

    async def _set_aside(self, workflow: str) -> None:
        """Go on without a workflow that Redis has lost, or whose log is damaged."""
        if await self._log.exists(workflow):
            log.exception("engine.workflow_set_aside", workflow=workflow)
        else:
            log.error("engine.workflow_lost", workflow=workflow)
            if self.lane.is_private:
                self.stopped.set()
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

    async def _catch_up(self, held: Held) -> bool:
        """Bring a view up to date with the log; False when the workflow was set aside."""
        try:
            await self._read_on(held)
        except NOT_ITS_FAULT:
            raise
        except Exception:  # whatever is wrong with it is wrong with this one workflow
            await self._set_aside(held.view.id)
            return False
        return True

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

    async def advance(self, helds: list[Held]) -> None:
        """Decide on workflows and commit, all of them together, until nothing is due."""
        while helds:
            await self._end([held for held in helds if held.view.ended])
            proposals = [found for held in helds if (found := await self._propose(held))]
            helds = []
            for some in _portions(proposals):
                helds += await self._commit(some)

    async def _propose(self, held: Held) -> Proposal | None:
        """What is due, if anything is. Decisions that cannot be made stop only their workflow."""
        if held.view.ended:
            return None
        touched, held.view.touched = held.view.touched, set()
        try:
            decision = await self._decide(held, touched)
        except NOT_ITS_FAULT:
            raise
        except Exception:  # whatever is wrong with it is wrong with this one workflow
            await self._set_aside(held.view.id)
            return None
        if decision:
            return Proposal(held, decision, touched)
        self.show(held)
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
        self.holdings.drop(view.id)
        self._ended[view.id] = None  # only now: a successor has to write what we could not
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        if self._watch:
            self._watch(view)
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

    def commit_of(self, held: Held, decision: Decision) -> Commit:
        """A decision as the scripts take it.

        The end of a workflow counts only where we have seen all others; so does the first commit on
        a view that was folded from the feed: what a predecessor committed is not there.
        """
        is_exact = decision.status is not None or not held.is_proven
        return Commit(
            held.view.id,
            f"{self.lane.token}#{next(self._numbers)}",
            [(event.type, e.encode_event(event), cause) for event, cause in decision.events],
            decision.queue,
            decision.cancel,
            decision.phase,
            decision.status,
            held.view.version if is_exact else None,
            decision.is_whole,
            (held.view.version, held.view.digest),
        )

    async def _commit(self, proposals: list[Proposal]) -> list[Held]:
        """Commit decisions; returns the workflows on which to decide again."""
        commits = [self.commit_of(found.held, found.decision) for found in proposals]
        try:
            outcomes = await self._send(commits)
        except exceptions.ResponseError:
            if len(proposals) > 1:  # one of them is to blame, the others go on
                return [held for found in proposals for held in await self._commit([found])]
            await self._set_aside(proposals[0].held.view.id)
            return []
        again = [
            await self._settle(found, outcome)
            for found, outcome in zip(proposals, outcomes, strict=True)
        ]
        return [held for held in again if held]

    async def _send(self, commits: list[Commit]) -> list[CommitOutcome]:
        return await self._log.scripts.commit(
            self.lane.partition,
            lane=self.lane.name,
            token=self.lane.token,
            by="engine",
            decisions=commits,
        )

    async def _settle(self, proposal: Proposal, outcome: CommitOutcome) -> Held | None:
        """Apply what was committed; returns the workflow when it has to be decided on again."""
        held, decision = proposal.held, proposal.decision
        view = held.view
        self.count(held, decision, outcome)
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
        return held if await self._catch_up(held) else None

    def count(self, held: Held, decision: Decision, outcome: CommitOutcome) -> None:
        """Count what was decided, if it is in the log now and somebody asks for counts."""
        if self._log.instruments is None:
            return
        match outcome:
            case Appended(ts=ts):
                pass
            case Duplicate():  # the first answer was lost
                ts = clock.now_ms()
            case _:
                return
        count_decision(self._log.instruments, held.view, held.definition, decision, ts)

    @staticmethod
    def _follows(view: WorkflowView, decision: Decision, version: int) -> bool:
        """Nobody else wrote in between: our events are the next ones, as we know them."""
        return not decision.cancel and version == view.version + len(decision.events)


def recorded(decision: Decision, first: int, ts: int) -> list[e.Recorded]:
    """The events of a decision that was committed at version `first` and the following ones."""
    return [
        e.Recorded(
            first + position,
            ts,
            event,
            "engine",
            first - cause if cause is not None and cause <= 0 else cause,
        )
        for position, (event, cause) in enumerate(decision.events)
    ]


def apply_all(view: WorkflowView, events: list[e.Recorded], digest: str) -> None:
    """Advance a view by events that follow; the last one has this digest."""
    for one in events[:-1]:
        apply(view, one)
    if events:
        apply(view, msgspec.structs.replace(events[-1], digest=digest))


def _portions(proposals: Iterable[Proposal]) -> Iterator[list[Proposal]]:
    """What may be committed together."""
    some: list[Proposal] = []
    weight = 0
    for found in proposals:
        if some and weight + found.weight > COMMITTED:
            yield some
            some, weight = [], 0
        some.append(found)
        weight += found.weight
    if some:
        yield some
