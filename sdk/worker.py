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

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress

import anyio
import msgspec
import structlog

from ..core import clock
from ..core import events as e
from ..core import metrics as m
from ..core.answers import Claim, ClaimedStep, Group, Turned, decode_ready, steps_text
from ..core.bell import Bell
from ..core.keys import SHARED
from ..core.log import EventLog
from ..core.threads import make_threads
from ..reactors.capacity import Capacity
from ..reactors.hop import Hop, Hops, Result
from ..reactors.session import Heartbeat, LaneLost, Session
from .bodies import Bodies
from .execution import Body, Outcome, Runs, decode_args
from .graph import WorkflowCode
from .task import News, Task
from .tracing import is_used

log = structlog.get_logger()

#: Results settled by one call.
SETTLED = 200


class Ending(msgspec.Struct, frozen=True):
    """A body that has ended, and how."""

    body: Body
    outcome: Outcome
    #: When (s, monotonic); 0: nobody asks.
    at: float = 0.0


class Worker:
    """Run tasks of one lane within the slots of a capacity, which workers of one process share."""

    def __init__(
        self,
        event_log: EventLog,
        bell: Bell,
        codes: Iterable[WorkflowCode],
        *,
        partition: int = 0,
        lane: str = SHARED,
        capacity: Capacity,
        find_hops: Callable[[], Hops] | None = None,
        name: str = "",
        heart: Heartbeat | None = None,
    ) -> None:
        """`find_hops` gives the short way to the engine, where it is in the same process."""
        self._log = event_log
        self._codes = {code.name: code for code in codes}
        self._definitions = {name: steps_text(code.steps) for name, code in self._codes.items()}
        self.partition = partition
        self.lane = lane
        self._capacity = capacity
        self._find_hops = find_hops
        self._session = Session(
            event_log,
            "worker",
            partition=partition,
            lane=lane,
            slots=capacity.slots,
            definitions=self._definitions,
            name=name,
            heart=heart,
        )
        self.runs = Runs(event_log)
        self._news = News()
        self._threads = make_threads()
        self._bodies = Bodies(self.runs, self._threads, self._ended)
        self._endings: list[Ending] = []
        self._claims = 0
        #: A turn is under way.
        self._in_turn = False
        self._draining = False
        self._drained = anyio.Event()
        #: There may be tasks to take.
        self._is_hungry = True
        #: Redis may say that we have tasks which we do not have.
        self._is_unsure = False
        self._wake = asyncio.Event()
        bell.listen(self._hear, "task")
        capacity.listen(self._hear_of_room)

    @property
    def session(self) -> str:
        return self._session.name

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._session.keep)
            tasks.start_soon(self._bodies.run)
            await self._take_turns()

    def serve(self, code: WorkflowCode) -> None:
        """Take tasks of one more class, or of a newer one of that name."""
        self._codes[code.name] = code
        self._definitions[code.name] = steps_text(code.steps)
        self._is_hungry = True
        self._wake.set()

    async def drain(self) -> None:
        """Begin no more tasks; return when those that run are settled."""
        self._draining = True
        self._capacity.leave(self)
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
            case "away":  # it may have lost how tasks ended
                self._is_unsure = True
            case "recheck":
                self._is_hungry = True
                self._wake.set()
                self._news.tell_all()
            case _:
                pass

    def _hear_of_room(self) -> None:
        if self._is_hungry:
            self._wake.set()

    def _ended(self, body: Body, outcome: Outcome | None) -> None:
        if outcome:
            at = clock.monotonic() if self._log.instruments else 0.0
            self._endings.append(Ending(body, outcome, at))
        else:  # its claim was lost, or Redis lost what it had asked for
            self._is_unsure = True
        self._capacity.give()
        self._wake.set()
        self._look_drained()

    async def _take_turns(self) -> None:
        while True:
            while self._is_unsure:
                await self._compare()
            endings, self._endings = self._endings[:SETTLED], self._endings[SETTLED:]
            want = self._reserve() if self._is_hungry else 0
            if endings or want:
                await self._turn(endings, want)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _compare(self) -> None:
        """Hand back the tasks that Redis says we have, and we do not."""
        self._is_unsure = False
        ended = [ending.body.task for ending in self._endings]
        kept = [f"{x.workflow}|{x.step}|{x.index}" for x in [*self._bodies.tasks(), *ended]]
        await self._session.hand_back_others(kept)

    def _reserve(self) -> int:
        """Slots for the next claim. As long as there are none we stay hungry, and are told."""
        want = 0 if self._draining else self._capacity.reserve(self)
        if want:
            self._is_hungry = False
        return want

    async def _turn(self, endings: list[Ending], want: int) -> None:
        """Settle what has ended, and take up to `want` tasks."""
        self._in_turn = True
        way = self._find_hops() if self._find_hops else None
        hops = self._prepare_hops(way, endings)
        claim = self._claim(want, self._definitions) if want else self._claim_own(hops)
        turned = await self._call(endings, way, hops, claim)
        if claim:
            self._begin(turned.claimed, claim)
        if self._log.instruments:
            _count(self._log.instruments, endings, turned)
        for workflow, step, index in turned.refused:
            log.info("worker.result_refused", workflow=workflow, step=step, index=index)
        if way:
            # When the lane is another's by now, that one goes on; our engine finds out by itself.
            with suppress(LaneLost):
                await way.finish(hops, turned, self.session)
        self._in_turn = False
        self._look_drained()

    def _prepare_hops(self, way: Hops | None, endings: list[Ending]) -> list[Hop]:
        """What the engine of this process decides on results, one of a workflow at a time."""
        if way is None:
            return []
        found: list[Hop] = []
        for ending in _only_ones(endings):
            task = ending.body.task
            result = Result(
                ending.body.code.name,
                task.workflow,
                task.step,
                ending.outcome,
                self.session,
                ending.body.version,
            )
            if hop := way.prepare(result):
                found.append(hop)
        return found

    def _claim(self, want: int, definitions: dict[str, str]) -> Claim:
        self._claims += 1
        return Claim(
            f"{self.session}/{self._claims}",
            want,
            definitions,
            int(self._log.settings.lease * 1000),
        )

    def _claim_own(self, hops: list[Hop]) -> Claim | None:
        """Ask for nothing but what hops queue, if they do and it is for us."""
        queued = [(hop, batch) for hop in hops for batch in hop.decision.queue]
        if not queued or not all(self._has(hop, batch.step) for hop, batch in queued):
            return None
        want = self._reserve()
        if not want:
            return None
        claim = self._claim(want, dict.fromkeys(self._codes, ""))
        claim.is_own = True
        return claim

    def _has(self, hop: Hop, step: str) -> bool:
        return step in self._codes[hop.result.code].steps

    async def _call(
        self, endings: list[Ending], way: Hops | None, hops: list[Hop], claim: Claim | None
    ) -> Turned:
        turned: Turned | None = None
        try:
            turned = await self._log.scripts.turn(
                self.partition,
                lane=self.lane,
                session=self.session,
                groups=_groups(endings),
                claim=claim,
                decisions=[hop.commit for hop in hops],
                token=way.token if way else "",
            )
            return turned
        finally:
            if turned is None:  # it was not answered
                if way:
                    way.give_up(hops)
                if claim:
                    self._capacity.give(claim.want)

    def _begin(self, claimed: list[ClaimedStep], claim: Claim) -> None:
        """Begin what was claimed; where it was all that was wanted, there may be more.

        After a drain has begun nothing begins: it is handed back when the session ends.
        """
        got = sum(len(step.tasks) for step in claimed)
        if got >= claim.want or (claim.is_own and not got):  # others were waiting
            self._is_hungry = True
        begun = 0 if self._draining else got
        if begun < claim.want:
            self._capacity.give(claim.want - begun)
        for step in claimed if begun else ():
            self._begin_step(step, claim.token)

    def _begin_step(self, step: ClaimedStep, token: str) -> None:
        code = self._codes[step.name]
        step_code = code.steps.get(step.step)
        from_scratch = bool(step_code and step_code.retry_from_scratch)
        args = decode_args(step.args)
        taken = clock.monotonic() if self._log.instruments else 0.0
        is_traced = is_used()
        for task in step.tasks:
            ready = decode_ready(task.entry)
            held = Task(
                self._log,
                self._news,
                self._threads,
                workflow=step.workflow,
                step=step.step,
                index=ready.index,
                attempt=ready.attempt,
                token=token,
                worker=self.session,
                slots=self._capacity,
                retry_from_scratch=from_scratch,
            )
            body = Body(held, code, args, ready.item, task.version, taken, is_traced)
            self._bodies.begin(body)


def _count(instruments: m.Instruments, endings: list[Ending], turned: Turned) -> None:
    """Count tasks that have ended and were settled; those that began uncounted are passed over."""
    refused = set(turned.refused)
    durations: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for ending in endings:
        body, task = ending.body, ending.body.task
        if refused and (task.workflow, task.step, task.index) in refused:
            continue
        if body.taken:
            result = "completed" if isinstance(ending.outcome, e.TaskCompleted) else "failed"
            labels = (body.code.name, task.step, result)
            durations[labels].append(ending.at - body.taken)
    for labels, values in durations.items():
        instruments.observe_all(m.TASK_DURATION, values, *labels)


def _only_ones(endings: list[Ending]) -> list[Ending]:
    """Those whose workflow has no other among them."""
    if len(endings) == 1:
        return endings
    results = Counter(ending.body.task.workflow for ending in endings)
    return [ending for ending in endings if results[ending.body.task.workflow] == 1]


def _groups(endings: list[Ending]) -> list[Group]:
    """Results by workflow and step."""
    groups: dict[tuple[str, str], list[tuple[int, str, str, str]]] = {}
    for ending in endings:
        task, outcome = ending.body.task, ending.outcome
        result = (task.index, task.token, outcome.type, e.encode_event(outcome))
        groups.setdefault((task.workflow, task.step), []).append(result)
    return [(workflow, step, results) for (workflow, step), results in groups.items()]
