"""Claim tasks of the workflow classes at hand, run them, settle them.

    turn ──▶ bodies ──▶ outcomes ──▶ turn …

A turn is one call that settles what has ended and claims what there is room for; what ends while it
is under way goes into the next one. Where the engine is in the same process, what follows from a
result goes along, too (see `reactors/hop.py`).

A worker holds its claims by a lease that it renews as a whole. One that fell silent longer finds
its claims given to others: what its tasks still do to their workflow is refused.

One that is to stop is drained first, and ends its session then, which hands back what it still has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import anyio
import msgspec
import structlog

from ..core import events as e
from ..core.answers import Claim, ClaimedStep, Group, Turned
from ..core.bell import Bell
from ..core.keys import SHARED
from ..core.log import EventLog
from ..reactors.hop import Hop, Hops, Result
from ..reactors.session import Session
from .bodies import Bodies
from .execution import Body, Outcome, Runs, decode_args
from .graph import WorkflowCode
from .task import News, Task
from .threads import Threads

log = structlog.get_logger()

#: Results settled by one call.
SETTLED = 200

_decode_entry = msgspec.json.Decoder(tuple[int, int, int, int, msgspec.Raw]).decode


class Ending(msgspec.Struct, frozen=True):
    """A body that has ended, and how."""

    body: Body
    outcome: Outcome


class Worker:
    """Run tasks of one lane, `slots` at a time."""

    def __init__(
        self,
        event_log: EventLog,
        bell: Bell,
        codes: Iterable[WorkflowCode],
        *,
        partition: int = 0,
        lane: str = SHARED,
        slots: int = 100,
        hops: Hops | None = None,
    ) -> None:
        self._log = event_log
        self._codes = {code.name: code for code in codes}
        self._definitions = {code.name: list(code.steps) for code in self._codes.values()}
        self.partition = partition
        self.lane = lane
        self.slots = slots
        self._hops = hops
        self._session = Session(
            event_log,
            "worker",
            partition=partition,
            lane=lane,
            slots=slots,
            definitions=self._codes,
        )
        self.runs = Runs(event_log)
        self._news = News()
        self._threads = Threads()
        self._bodies = Bodies(self.runs, self._threads, self._ended)
        self._endings: list[Ending] = []
        self._claims = 0
        #: A turn is under way.
        self._in_turn = False
        self._draining = False
        self._drained = anyio.Event()
        #: There may be tasks to take.
        self._is_hungry = True
        self._wake = anyio.Event()
        bell.listen(self._hear)

    @property
    def session(self) -> str:
        return self._session.name

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._session.keep)
            tasks.start_soon(self._bodies.run)
            await self._take_turns()

    async def drain(self) -> None:
        """Begin no more tasks; return when those that run are settled."""
        self._draining = True
        self._look_drained()
        await self._drained.wait()

    async def hand_back(self) -> None:
        """After `run`: others may claim at once what is still claimed."""
        await self._session.hand_back()

    def _look_drained(self) -> None:
        if self._draining and not (self._in_turn or self._endings or self._bodies):
            self._drained.set()

    def _hear(self, kind: str, workflow: str, subject: str) -> None:
        match kind:
            case "task":
                self._is_hungry = True
                self._wake.set()
            case "settled":
                self._news.tell(workflow, subject)
            case "cancel":
                self._bodies.revoke(workflow, subject)
            case "recheck":
                self._is_hungry = True
                self._wake.set()
                self._news.tell_all()
            case _:
                pass

    def _ended(self, body: Body, outcome: Outcome | None) -> None:
        if outcome:
            self._endings.append(Ending(body, outcome))
        self._wake.set()
        self._look_drained()

    async def _take_turns(self) -> None:
        while True:
            endings, self._endings = self._endings[:SETTLED], self._endings[SETTLED:]
            free = 0 if self._draining else self.slots - len(self._bodies)
            if endings or (free and self._is_hungry):
                await self._turn(endings, free)
            else:
                self._wake = anyio.Event()
                await self._wake.wait()

    async def _turn(self, endings: list[Ending], free: int) -> None:
        """Settle what has ended, take what there is room for."""
        self._in_turn = True
        hops = self._prepare_hops(endings)
        want = free if self._is_hungry or any(hop.decision.queue for hop in hops) else 0
        self._is_hungry = False
        turned: Turned | None = None
        claim = self._claim(want) if want else None
        try:
            turned = await self._call(endings, hops, claim)
        finally:
            if turned is None and self._hops:
                self._hops.give_up(hops)
        if claim:
            self._begin(turned.claimed, claim)
        for workflow, step, index in turned.refused:
            log.info("worker.result_refused", workflow=workflow, step=step, index=index)
        if hops and self._hops:
            await self._hops.finish(hops, turned)
        self._in_turn = False
        self._look_drained()

    def _prepare_hops(self, endings: list[Ending]) -> list[Hop]:
        """What the engine of this process decides on results, one of a workflow at a time."""
        if self._hops is None:
            return []
        results = Counter(ending.body.task.workflow for ending in endings)
        found: list[Hop] = []
        for ending in endings:
            task = ending.body.task
            if results[task.workflow] == 1:
                result = Result(
                    task.workflow, task.step, ending.outcome, self.session, ending.body.version
                )
                found += [hop] if (hop := self._hops.prepare(result)) else []
        return found

    def _claim(self, want: int) -> Claim:
        self._claims += 1
        return Claim(
            f"{self.session}/{self._claims}",
            want,
            self._definitions,
            int(self._log.settings.lease * 1000),
        )

    async def _call(self, endings: list[Ending], hops: list[Hop], claim: Claim | None) -> Turned:
        return await self._log.scripts.turn(
            self.partition,
            lane=self.lane,
            session=self.session,
            groups=_groups(endings),
            claim=claim,
            decisions=[hop.commit for hop in hops],
            token=self._hops.token if self._hops else "",
        )

    def _begin(self, claimed: list[ClaimedStep], claim: Claim) -> None:
        """Begin what was claimed; where it was all that was wanted, there may be more."""
        if sum(len(step.tasks) for step in claimed) >= claim.want:
            self._is_hungry = True
        if self._draining:
            return  # handed back when the session ends
        for step in claimed:
            code = self._codes[step.name]
            step_code = code.steps.get(step.step)
            from_scratch = bool(step_code and step_code.retry_from_scratch)
            args = decode_args(step.args)
            for task in step.tasks:
                index, attempt, _, _, item = _decode_entry(task.entry)
                held = Task(
                    self._log,
                    self._news,
                    self._threads,
                    workflow=step.workflow,
                    step=step.step,
                    index=index,
                    attempt=attempt,
                    token=claim.token,
                    worker=self.session,
                    retry_from_scratch=from_scratch,
                )
                self._bodies.begin(Body(held, code, args, item, task.version))


def _groups(endings: list[Ending]) -> list[Group]:
    """Results by workflow and step."""
    groups: dict[tuple[str, str], list[tuple[int, str, str, str]]] = {}
    for ending in endings:
        task, outcome = ending.body.task, ending.outcome
        result = (task.index, task.token, outcome.type, e.encode_event(outcome))
        groups.setdefault((task.workflow, task.step), []).append(result)
    return [(workflow, step, results) for (workflow, step), results in groups.items()]
