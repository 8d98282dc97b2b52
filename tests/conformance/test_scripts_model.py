"""Any calls of the scripts in any order: after each one all that must be true is true."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, ClassVar, TypeVar

import msgspec
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentainer_flow.core import events as e
from agentainer_flow.core.answers import (
    Appended,
    Batch,
    ClaimedJob,
    ClaimedStep,
    Conflict,
    Duplicate,
    Fenced,
    Found,
    Lost,
)
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import load_settings
from agentainer_flow.sdk.task import append_change, delete_change, set_change

from ..integration.bench import LANE, change, claim, commit, settle
from .scripts_model import QUEUE_MAX, STEPS, Flow, Job, Model, Task, check

T = TypeVar("T")

#: Which of several: any number, taken modulo how many there are.
choices = st.integers(0, 50)
flow_names = st.sampled_from(["w1", "w2", "w3"])
step_names = st.sampled_from(sorted(STEPS))
sessions = st.sampled_from(["s", "t", "u"])
launchers = st.sampled_from(["l", "m"])
delays = st.sampled_from([0, 1])
#: For what cuts a story short.
rarely = st.sampled_from([False] * 7 + [True])

LEASE = 600_000
#: So many tasks wait at most.
MANY = 20
Event = tuple[str, str, int | None]


def entry(event: e.Event) -> Event:
    return event.type, e.encode_event(event), None


class Machine(RuleBasedStateMachine):
    #: Of the Redis to play on.
    url: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.log = EventLog(load_settings(environ={}), self.url)
        self.scripts = self.log.scripts
        self.model = Model()
        self.numbers = 0
        self.commits: dict[str, str] = {}
        self.last_claim: dict[str, tuple[str, set[tuple[str, str, int]]]] = {}
        #: Claims of tasks that were good once.
        self.old_tokens = ["nobody/0"]
        #: (workflow, job, token, kind) of what launchers recorded.
        self.recorded: set[tuple[str, str, str, str]] = set()

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def teardown(self) -> None:
        self.do(self.log.close())
        self.runner.close()

    @initialize()
    def begin(self) -> None:
        self.do(self.log.redis.flushall())
        self.do(
            self.scripts.renew(
                0, lanes=[(LANE, "engine/1")], sessions=[], lease_ms=LEASE, acquire=True
            )
        )
        self.do(self.scripts.set_queue("narrow", limit=QUEUE_MAX["narrow"], depth=0))
        for name in ("w1", "w2"):
            self.create(name, 0, False)
            for step in STEPS:
                self.queue(name, step, 3, 0)
        # Stories are short: they begin in the middle, with tasks and agents that run and that wait.
        self.claim("s", 4)
        self.claim("t", 2)
        for choice in range(3):
            self.request_job(choice, None)
        self.claim_jobs("l", 2, 9)
        self.fail_task(5, 0)
        self.retry(0, 1, 1)
        self.queue("w2", "a", 1, 1)

    @invariant()
    def all_is_well(self) -> None:
        self.do(check(self.log, self.model))

    def flows(self, *statuses: str) -> list[Flow]:
        return [flow for flow in self.model.flows.values() if flow.status in statuses]

    def leased(self, choice: int) -> tuple[Flow, Task]:
        return one_of(self.model.all("leased"), choice)

    # Commands

    @precondition(lambda self: "w3" not in self.model.flows)
    @rule(most=st.sampled_from([0, 0, 1, 3]), hurries=rarely)
    def create_another(self, most: int, hurries: bool) -> None:
        self.create("w3", most, hurries)
        self.queue("w3", "a", 2, 0)

    def create(self, name: str, most: int, hurries: bool) -> None:
        events = (e.WorkflowCreated("wf", "d"), e.WorkflowStarted())
        meta: dict[str, Any] = {"lane": LANE, "name": f"def-{name}"}
        meta |= {"max_parallel": most} if most else {}
        meta |= {"timeout_ms": 1} if hurries else {}
        outcome = self.do(
            self.scripts.append(
                name,
                key=f"create {self.number()}",
                content="",
                events=[(x.type, e.encode_event(x)) for x in events],
                by="client",
                status="running",
                meta=meta,
            )
        )
        assert isinstance(outcome, Appended)
        self.model.flows[name] = Flow(name, most, hurries)

    def command(
        self, flow: Flow, event: e.Event, allowed: list[str], status: str, **flags: bool
    ) -> None:
        call: dict[str, Any] = {
            "key": f"command {self.number()}",
            "content": "c",
            "events": [(event.type, e.encode_event(event))],
            "by": "client",
            "statuses": allowed,
            "status": status,
            **flags,
        }
        wrong: dict[str, Any] = {**call, "statuses": ["completed"]}
        assert isinstance(self.do(self.scripts.append(flow.id, **wrong)), Conflict)
        outcome = self.do(self.scripts.append(flow.id, **call))
        assert isinstance(outcome, Appended)
        assert self.do(self.scripts.append(flow.id, **call)) == Duplicate(outcome.version)
        flow.status = status

    @precondition(lambda self: self.flows("running"))
    @rule(choice=choices)
    def pause(self, choice: int) -> None:
        flow = one_of(self.flows("running"), choice)
        self.model.turn_lost |= bool(flow.at("ready"))
        self.command(flow, e.WorkflowPaused(), ["running"], "paused", suspend=True)

    @precondition(lambda self: self.flows("paused"))
    @rule(choice=choices)
    def resume(self, choice: int) -> None:
        flow = one_of(self.flows("paused"), choice)
        self.command(flow, e.WorkflowResumed(), ["paused"], "running", wake=True)

    @precondition(lambda self: self.flows("running", "paused"))
    @rule(choice=choices, sure=rarely)
    def cancel(self, choice: int, sure: bool) -> None:
        if not sure:
            return
        flow = one_of(self.flows("running", "paused"), choice)
        self.model.turn_lost |= bool(flow.at("ready"))
        event = e.WorkflowCancelRequested("enough")
        self.command(flow, event, ["running", "paused"], "cancelling", wake=True)
        self.drop_timers(flow)

    @staticmethod
    def drop_timers(flow: Flow) -> None:
        flow.hurries = False
        for task in flow.tasks.values():
            task.impatient = False
            if task.place == "delayed":
                task.place = "gone"

    # The engine

    def commit(self, flow: Flow, *events: Event, **more: Any) -> Any:
        self.commits[flow.id] = f"commit {self.number()}"
        return self.send(flow, *events, **more)

    def send(self, flow: Flow, *events: Event, token: str = "engine/1", **more: Any) -> Any:
        name = self.commits.get(flow.id, "none")
        return self.do(
            commit(self.scripts, flow.id, token=token, commit=name, events=list(events), **more)
        )

    @precondition(lambda self: len(self.model.all("ready")) < MANY)
    @rule(name=flow_names, step=step_names, count=st.integers(1, 4), patience=delays)
    def queue(self, name: str, step: str, count: int, patience: int) -> None:
        # One that decided just before a pause commits just after it.
        flow = self.model.flows.get(name)
        if not flow or flow.status not in ("running", "paused") or step in flow.cancelled:
            return
        first = sum(task.step == step for task in flow.tasks.values())
        event = e.TasksQueued(step, first, count) if first else e.StepScheduled(step, 99, count)
        indexes = range(first, first + count)
        batch = Batch(step, STEPS[step], 0, [(i, 1, "null") for i in indexes], "{}", 0, patience)
        assert isinstance(self.commit(flow, entry(event), queue=[batch]), Appended)
        for i in indexes:
            flow.tasks[(step, i)] = Task(step, i, "ready", impatient=bool(patience))

    @precondition(lambda self: self.model.all("failed"))
    @rule(choice=choices, delay=delays, patience=delays)
    def retry(self, choice: int, delay: int, patience: int) -> None:
        found = [
            (flow, task)
            for flow, task in self.model.all("failed")
            if flow.status in ("running", "paused")
        ]
        if not found:
            return
        flow, task = found[choice % len(found)]
        again = task.attempt + 1
        event = e.TaskRetried(task.step, task.index, again, delay)
        tasks = [(task.index, again, "null")]
        batch = Batch(task.step, STEPS[task.step], 0, tasks, None, delay, patience)
        assert isinstance(self.commit(flow, entry(event), queue=[batch]), Appended)
        flow.tasks[(task.step, task.index)] = Task(
            task.step, task.index, "delayed" if delay else "ready", again, impatient=bool(patience)
        )

    @rule(choice=choices, sure=rarely)
    def fail_step(self, choice: int, sure: bool) -> None:
        # The engine may not have seen yet that the workflow is being cancelled.
        statuses = ("running", "paused") if sure else ("cancelling",)
        flows = [flow for flow in self.flows(*statuses) if flow.steps]
        if not flows:
            return
        flow = one_of(flows, choice)
        self.model.turn_lost |= bool(flow.at("ready"))
        steps = flow.steps
        failed = e.StepFailed(steps[0], e.Failure("ValueError", "no"))
        rest = [entry(e.StepCancelled(step)) for step in steps[1:]]
        outcome = self.commit(flow, entry(failed), *rest, cancel=positions(steps), phase="failing")
        assert isinstance(outcome, Appended)
        if flow.status != "cancelling":
            flow.status = "failing"
        self.cancel_steps(flow, steps)

    @precondition(lambda self: any(flow.steps for flow in self.flows("failing", "cancelling")))
    @rule(choice=choices)
    def wind_down(self, choice: int) -> None:
        flows = [flow for flow in self.flows("failing", "cancelling") if flow.steps]
        flow = one_of(flows, choice)
        steps = flow.steps
        events = [entry(e.StepCancelled(step)) for step in steps]
        assert isinstance(self.commit(flow, *events, cancel=positions(steps)), Appended)
        self.cancel_steps(flow, steps)

    def cancel_steps(self, flow: Flow, steps: list[str]) -> None:
        for task in flow.at("ready", "leased", "delayed"):
            task.place = "gone"
        for step in steps:
            flow.cancelled.add(step)
            flow.stop_jobs(step)
        self.drop_timers(flow)

    @precondition(lambda self: any(flow.may_end for flow in self.model.flows.values()))
    @rule(choice=choices)
    def end(self, choice: int) -> None:
        flow = one_of([flow for flow in self.model.flows.values() if flow.may_end], choice)
        ends: dict[str, e.Event] = {
            "running": e.WorkflowCompleted(),
            "failing": e.WorkflowFailed(e.Failure("ValueError", "no")),
            "cancelling": e.WorkflowCancelled(),
        }
        event = ends[flow.status]
        status = event.type.removeprefix("workflow.")
        seen = self.version(flow)
        early = self.commit(flow, entry(event), status=status, version=seen - 1)
        assert isinstance(early, Conflict)
        late = self.commit(flow, entry(event), status=status, version=seen)
        assert isinstance(late, Appended)
        flow.status = status

    def version(self, flow: Flow) -> int:
        return len(self.do(self.log.read(flow.id)))

    @precondition(lambda self: self.commits)
    @rule(name=flow_names)
    def commit_again(self, name: str) -> None:
        if (flow := self.model.flows.get(name)) and name in self.commits:
            event = ("step.cancelled", '{"step":"z"}', None)
            assert isinstance(self.send(flow, event), Duplicate)
            assert self.send(flow, event, token="engine/0") == Fenced()

    @rule(name=flow_names)
    def project(self, name: str) -> None:
        flow = self.model.flows.get(name)
        if not flow:
            return
        document: dict[str, Any] = {"document": "{}", "steps": ["{}"], "jobs": {}, "created": 1}
        document["schema"] = "1.1"
        digest = self.do(self.log.read(name))[-1].digest
        document |= {"id": name, "status": flow.status, "version": self.version(flow)}
        for _ in range(2):
            self.do(self.scripts.project(0, [{**document, "digest": digest}]))
        listed = self.do(self.log.redis.zscore(f"flow:0:workflows:{flow.status}", name))
        assert listed is not None

    # Workers

    @precondition(lambda self: self.model.all("ready"))
    @rule(session=sessions, want=st.integers(1, 6))
    def claim(self, session: str, want: int) -> None:
        token = f"{session}/{self.number()}"
        taken = placed(self.send_claim(session, token, want))
        assert len(taken) <= want
        for name, step, index in taken:
            flow = self.model.flows[name]
            task = flow.tasks[(step, index)]
            assert flow.status == "running"
            assert task.place == "ready"
            task.place, task.token = "leased", token
        assert len(taken) == want or not self.model.claimable()
        self.last_claim[session] = (token, taken)

    def send_claim(self, session: str, token: str, want: int) -> list[ClaimedStep]:
        return self.do(
            claim(
                self.scripts,
                session=session,
                token=token,
                want=want,
                definitions={name: list(STEPS) for name in ("def-w1", "def-w2", "def-w3")},
                lease_ms=LEASE,
            )
        )

    @precondition(lambda self: self.last_claim)
    @rule(session=sessions)
    def claim_again(self, session: str) -> None:
        if session in self.last_claim:
            token, taken = self.last_claim[session]
            still = {
                (f.id, x.step, x.index) for f, x in self.model.all("leased") if x.token == token
            }
            assert still <= taken
            assert placed(self.send_claim(session, token, 9)) == still

    @precondition(lambda self: self.model.all("leased"))
    @rule(choice=choices, stale=choices)
    def complete_task(self, choice: int, stale: int) -> None:
        self.settle(choice, stale, fails=False)

    @precondition(lambda self: self.model.all("leased"))
    @rule(choice=choices, stale=choices)
    def fail_task(self, choice: int, stale: int) -> None:
        self.settle(choice, stale, fails=True)

    def settle(self, choice: int, stale: int, *, fails: bool) -> None:
        """By who had the task before, or another one, and then by who has it."""
        flow, task = self.leased(choice)
        # Other tasks of the same claim may have been settled before.
        other = one_of([token for token in self.old_tokens if token != task.token], stale)
        refused = self.send_result(flow, task, other, fails)
        assert refused == [(flow.id, task.step, task.index)]
        assert self.send_result(flow, task, task.token, fails) == []
        self.old_tokens.append(task.token)
        task.place = "failed" if fails else "completed"
        flow.stop_jobs(task.step, task.index)

    def send_result(self, flow: Flow, task: Task, token: str, fails: bool) -> Any:
        place = (task.step, task.index, task.attempt)
        event: e.Event = e.TaskCompleted(*place)
        if fails:
            event = e.TaskFailed(*place, e.Failure("ValueError", "no"))
        result = (task.index, token, event.type, e.encode_event(event))
        groups = [(flow.id, task.step, [result])]
        return self.do(settle(self.scripts, session=token.partition("/")[0], groups=groups))

    @precondition(lambda self: self.model.all("leased"))
    @rule(choice=choices, by=st.integers(-3, 3), twice=st.booleans())
    def count(self, choice: int, by: int, twice: bool) -> None:
        flow, task = self.leased(choice)
        flow.state["n"] = flow.state.get("n", 0) + by
        answers = self.write(flow, task, change("incr", by=by), times=1 + twice)
        assert answers == [[str(flow.state["n"])]] * (1 + twice)

    @precondition(lambda self: self.model.all("leased"))
    @rule(choice=choices, how=st.sampled_from(["set", "append", "delete"]), size=st.integers(0, 9))
    def write_list(self, choice: int, how: str, size: int) -> None:
        """Values of more than four bytes lie beside the log."""
        flow, task = self.leased(choice)
        old, item = flow.state.pop("l", []), "x" * size
        settings = msgspec.structs.replace(self.log.settings, inline_limit=4)
        match how:
            case "set":
                made = set_change("l", [item], settings)
                flow.state["l"] = [item]
            case "append":
                made = append_change("l", item, settings)
                flow.state["l"] = [*old, item]
            case _:
                made = delete_change("l")
        assert self.write(flow, task, made) == [[None]]

    def write(self, flow: Flow, task: Task, made: dict[str, Any], times: int = 1) -> list[Any]:
        """What is answered when a task changes state, and when it asks again."""
        place = {"step": task.step, "index": task.index, "token": task.token}
        claim = {**place, "write": self.number()}
        return [
            self.do(self.scripts.change_state(flow.id, by="w", changes=[made], claim=claim))
            for _ in range(times)
        ]

    @precondition(lambda self: self.model.all("leased"))
    @rule(choice=choices, value=st.integers(0, 3))
    def record(self, choice: int, value: int) -> None:
        flow, task = self.leased(choice)
        effect = f"run:{task.step}:{task.index}:n:1"
        call: dict[str, Any] = {"step": task.step, "index": task.index, "effect": effect}
        first = self.do(self.log.redis.hget(f"workflow:{flow.id}:effects", effect))
        stands = self.do(
            self.scripts.record_effect(
                flow.id, token=task.token, name='"n"', value=str(value), **call
            )
        )
        assert stands == (first.decode() if first else str(value))
        lost = self.scripts.record_effect(flow.id, token="nobody/0", name='"n"', value="1", **call)
        assert self.do(lost) == Lost()

    # Agents

    @precondition(lambda self: self.model.all("leased"))
    @rule(choice=choices, memory=st.sampled_from([None, 2, 4]))
    def request_job(self, choice: int, memory: int | None) -> None:
        flow, task = self.leased(choice)
        base = f"{task.step}-{task.index}-x"
        spec = e.JobSpec("i", memory_bytes=memory)
        answer = self.do(
            self.scripts.request_job(
                flow.id,
                step=task.step,
                index=task.index,
                token=task.token,
                effect=f"agent:{task.step}:{task.index}:x:1",
                base=base,
                rest=msgspec.json.encode({"attempt": 1, "name": "x", "spec": spec}).decode(),
            )
        )
        assert isinstance(answer, Found)
        if answer.job not in flow.jobs:
            family = [job for job in flow.jobs.values() if job.id.partition("~")[0] == base]
            assert all(job.settled or job.state == "stopping" for job in family)
            flow.jobs[answer.job] = Job(answer.job, task.step, task.index, memory=memory or 1)

    @precondition(lambda self: any(flow.unsettled() for flow in self.model.flows.values()))
    @rule(session=launchers, want=st.integers(0, 3), memory=st.sampled_from([9, 9, 3, 1]))
    def claim_jobs(self, session: str, want: int, memory: int) -> None:
        """By a launcher that has 3 bytes in all, or 9, and `memory` of them are free."""
        token = f"{session}/{self.number()}"
        most = max(memory, 3)
        call: dict[str, Any] = {"lane": LANE, "host": "h", "session": session, "token": token}
        call |= {"lease_ms": LEASE, "memory": memory, "all_memory": most, "default_memory": 1}
        taken = self.do(self.scripts.claim_jobs(0, want=want, **call))
        again = self.do(self.scripts.claim_jobs(0, want=9, **call))
        assert {(x.workflow, x.job) for x in again.jobs} == {
            (x.workflow, x.job) for x in taken.jobs
        }
        slots, room = want, memory
        for claimed in sorted(taken.jobs, key=self.is_new):
            flow = self.model.flows[claimed.workflow]
            job = flow.jobs[claimed.job]
            assert not job.token
            assert claimed.memory_bytes == job.memory
            slots, room = slots - 1, room - job.memory
            if job.state == "queued":
                assert flow.status != "paused"
                assert min(slots, room) >= 0
            job.token = token
            job.state = "stopping" if job.state == "stopping" else "taken"
        waiting = self.waiting_jobs()
        assert all(job.state == "queued" for job in waiting), "those that ran here are adopted"
        if taken.awaited:
            job = self.model.flows[taken.awaited.workflow].jobs[taken.awaited.job]
            assert job in waiting
            assert room < job.memory <= most
        else:
            assert slots <= 0 or all(job.memory > most for job in waiting)

    def is_new(self, claimed: ClaimedJob) -> bool:
        """Nobody had the agent before."""
        return self.model.flows[claimed.workflow].jobs[claimed.job].state == "queued"

    def waiting_jobs(self) -> list[Job]:
        return [
            job
            for flow in self.model.flows.values()
            for job in flow.unsettled()
            if not job.token and (job.state != "queued" or flow.status != "paused")
        ]

    @precondition(lambda self: self.model.taken_jobs())
    @rule(choice=choices)
    def launch_job(self, choice: int) -> None:
        self.settle_job(choice, "launched", '{"container":"c","host":"h","runtime":"r"}')

    @precondition(lambda self: self.model.taken_jobs())
    @rule(choice=choices, kind=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def end_job(self, choice: int, kind: str) -> None:
        error = '{"error":{"type":"failed","message":"m"}}'
        job = self.settle_job(choice, kind, error if kind == "failed" else "{}")
        job.state = "ended" if kind == "succeeded" else "failed"

    def settle_job(self, choice: int, kind: str, rest: str) -> Job:
        flow, job = one_of(self.model.taken_jobs(), choice)
        call: dict[str, Any] = {"job": job.id, "type": f"job.{kind}", "rest": rest}
        call["final"] = kind != "launched"
        assert self.do(self.scripts.settle_job(flow.id, token="nobody/0", **call)) == "lost"
        first = self.do(self.scripts.settle_job(flow.id, token=job.token, **call))
        assert self.do(self.scripts.settle_job(flow.id, token=job.token, **call)) == first
        record = (flow.id, job.id, job.token, kind)
        if record not in self.recorded:  # otherwise it is what was answered then
            assert first == ("stopping" if job.state == "stopping" else "appended")
        self.recorded.add(record)
        return job

    @precondition(lambda self: any(flow.unsettled() for flow in self.model.flows.values()))
    @rule(choice=choices)
    def stop_job(self, choice: int) -> None:
        found = [
            (flow, task, job)
            for flow, task in self.model.all("leased")
            for job in flow.jobs.values()
            if (job.step, job.index) == (task.step, task.index)
        ]
        if not found:
            return
        flow, task, job = found[choice % len(found)]
        call: dict[str, Any] = {"step": task.step, "index": task.index, "job": job.id}
        assert self.do(self.scripts.stop_job(flow.id, token="nobody/0", **call)) == "lost"
        assert self.do(self.scripts.stop_job(flow.id, token=task.token, **call)) == "stopped"
        if not job.settled:
            job.state = "failed" if job.state == "queued" else "stopping"

    # The janitor and the clock

    @precondition(lambda self: self.model.holders())
    @rule(choice=choices, limit=st.sampled_from([1, 100]), falls_silent=st.booleans())
    def end_session(self, choice: int, limit: int, falls_silent: bool) -> None:
        session = one_of(self.model.holders(), choice)
        sweep = partial(self.scripts.sweep, 0, limit=limit, max_losses=3)
        if falls_silent:
            assert self.do(sweep()).taken == [0, 0, 0]
            self.do(self.scripts.renew(0, lanes=[], sessions=[session], lease_ms=0))
            while any(self.do(sweep()).taken):
                pass
        else:
            while any(self.do(self.scripts.hand_back(0, session=session, limit=limit))):
                pass
        self.last_claim.pop(session, None)
        for flow, task in self.model.all("leased"):
            if task.token.startswith(f"{session}/"):
                self.old_tokens.append(task.token)
                task.losses += falls_silent
                is_poison = falls_silent and task.losses >= 3
                task.place, task.token = "failed" if is_poison else "ready", ""
                if is_poison:
                    flow.stop_jobs(task.step, task.index)
        for flow in self.model.flows.values():
            for job in flow.unsettled():
                if job.token.startswith(f"{session}/"):
                    job.token = ""
                    job.state = "stopping" if job.state == "stopping" else "orphaned"

    @precondition(lambda self: self.model.has_timers())
    @rule()
    def fire(self) -> None:
        """Time passes: every timer is due after a millisecond."""
        while self.do(self.scripts.fire(0, lane=LANE)) >= 0:
            pass
        for flow in self.model.flows.values():
            if flow.status == "paused" or flow.ended:
                continue
            for task in flow.tasks.values():
                if task.place == "delayed":
                    task.place = "ready"
                if task.impatient and task.place == "ready":
                    task.place = "failed"
                    flow.stop_jobs(task.step, task.index)
                    self.model.turn_lost = True
                task.impatient = False
            if flow.hurries:
                flow.status, flow.hurries = "failing", False
                self.model.turn_lost = True


def one_of(found: list[T], choice: int) -> T:
    return found[choice % len(found)]


def positions(steps: list[str]) -> list[tuple[str, int]]:
    """Steps to cancel, each with the position of the event that says so."""
    return [(step, position) for position, step in enumerate(steps)]


def placed(claimed: list[ClaimedStep]) -> set[tuple[str, str, int]]:
    return {
        (step.workflow, step.step, msgspec.json.decode(task.entry)[0])
        for step in claimed
        for task in step.tasks
    }


def test_any_order_of_calls_keeps_what_must_hold(each_redis_url: str) -> None:
    Machine.url = each_redis_url
    run_state_machine_as_test(
        Machine,
        settings=hypothesis_settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
