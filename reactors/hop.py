"""The short way from one step to the next, where engine and worker share a process.

The worker is about to record a result; the engine, which has the workflow in memory, decides what
follows from it before that is done. Result, decision and the claim of the next task then go out as
one call, instead of three with two wake-ups between them.

A hop is a guess that nobody else wrote to the log in between. The script checks it: where it was
wrong the result is recorded all the same, and the engine goes the long way, by its feed. Only plain
steps hop: a guess must cost little, and in a fan-out hardly a result makes anything follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..core import events as e
from ..core.answers import Appended, ClaimedStep, Commit, Turned, decode_ready
from ..core.log import EventLog
from ..projections.fold import apply, branch
from ..projections.workflow import WorkflowView
from .binding import NeedsBlob, result_of
from .commits import apply_all, recorded
from .engine import Engine
from .held import Held
from .scheduler import Decision, decide


class Result(msgspec.Struct, frozen=True):
    """How the one task of a plain step ended. `cause` is the version of its `task.started`."""

    #: The name by which workers ask for tasks of the workflow.
    code: str
    workflow: str
    step: str
    event: e.TaskCompleted | e.TaskFailed
    worker: str
    cause: int


class Hop(msgspec.Struct, frozen=True):
    """A workflow, held for ourselves until the call is answered, and what is to follow in it."""

    held: Held
    result: Result
    decision: Decision
    commit: Commit


class Hops:
    """Prepare the decisions that go along with results, and take in what became of them."""

    def __init__(self, log: EventLog, engine: Engine) -> None:
        self._engine = engine
        self._holdings = engine.views.holdings
        self._commits = engine.commits
        self._inline_limit = log.settings.inline_limit

    @property
    def token(self) -> str:
        return self._engine.lane.token

    def prepare(self, result: Result) -> Hop | None:
        """What follows from a result; None where the long way has to be gone."""
        held = self._holdings.get(result.workflow)
        if held is None or held.is_busy or not self.token:
            return None
        view = held.view
        if view.status != "running" or view.step(result.step).total != 1:
            return None
        trial = branch(view, result.step)
        apply(trial, _recorded(result, view.version + 1, view.updated_ms))
        decision = self._decide(held, trial)
        if decision is None:
            return None
        held.take_now()
        commit = self._commits.of(held, decision)
        commit.settled = 1
        commit.version = None  # in a turn `seen` is exact
        return Hop(held, result, decision, commit)

    def _decide(self, held: Held, trial: WorkflowView) -> Decision | None:
        try:
            decision = decide(trial, held.definition, held.cache, trial.touched)
            if decision.finish:
                data = result_of(held.definition, trial, held.cache.blobs)
                if len(data) > self._inline_limit:
                    return None
                decision.complete(e.WorkflowCompleted(result=msgspec.Raw(data)), trial.version)
        except NeedsBlob:
            return None
        return decision

    async def finish(self, hops: list[Hop], turned: Turned, worker: str) -> None:
        """Take in what the call of a worker came to."""
        claimed: dict[str, list[ClaimedStep]] = {}
        for step in turned.claimed:
            claimed.setdefault(step.workflow, []).append(step)
        again: list[Held] = []
        try:
            for hop, outcome, end in zip(hops, turned.outcomes, turned.ends, strict=True):
                steps = claimed.pop(hop.result.workflow, [])
                if isinstance(outcome, Appended):
                    again += self._take_in(hop, outcome, steps, end)
            for steps in claimed.values():
                self._note_claims(steps, worker, turned.ts)
            await self._engine.advance(again)
        finally:
            for hop in hops:
                hop.held.release()

    def _note_claims(self, steps: list[ClaimedStep], worker: str, ts: int) -> None:
        """Advance a workflow by tasks that the worker got, so that their results may hop."""
        last = steps[-1]
        held = self._holdings.get(last.workflow)
        if held is None or held.is_busy or held.view.digest != last.previous:
            return
        events = list(_started(steps, worker, ts))
        if held.view.version + len(events) == last.version:  # nothing else was written
            apply_all(held.view, events, last.digest)
            self._engine.show(held)

    def give_up(self, hops: Iterable[Hop]) -> None:
        """The call was not answered: go the long way."""
        for hop in hops:
            self._holdings.drop(hop.held.view.id)
            hop.held.release()

    def _take_in(
        self, hop: Hop, outcome: Appended, claimed: list[ClaimedStep], end: tuple[int, str]
    ) -> list[Held]:
        """Advance the view; returns the workflow when there is more to decide."""
        held, view, decision = hop.held, hop.held.view, hop.decision
        self._commits.count(held, decision, outcome)
        first = view.version + 1
        events = [_recorded(hop.result, first, outcome.ts)]
        events += recorded(decision, first + 1, outcome.ts)
        events += _started(claimed, hop.result.worker, outcome.ts)
        version, digest = end
        if decision.cancel or events[-1].version != version:
            # More was written than we know. The feed has it, unless nothing is left to decide.
            self._holdings.drop(view.id)
            return []
        apply_all(view, events, digest)
        if view.ended or not decision.is_whole:
            return [held]
        view.touched.clear()
        self._engine.show(held)
        return []


def _recorded(result: Result, version: int, ts: int) -> e.Recorded:
    return e.Recorded(version, ts, result.event, result.worker, result.cause)


def _started(claimed: list[ClaimedStep], worker: str, ts: int) -> Iterator[e.Recorded]:
    """The events of a workflow's tasks that a call gave to the worker."""
    for step in claimed:
        for task in step.tasks:
            ready = decode_ready(task.entry)
            event = e.TaskStarted(step.step, ready.index, ready.attempt, worker)
            yield e.Recorded(task.version, ts, event, worker, ready.cause)
