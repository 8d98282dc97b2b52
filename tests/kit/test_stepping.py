"""A test stops a workflow anywhere, looks at it, and does to it what operators do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agentainer_flow import Context, Refused, WorkflowCancelled, step, workflow
from agentainer_flow.core.events import Recorded
from agentainer_flow.sdk.testing.runs import Until
from agentainer_flow.testing import LocalEngine, NeverHeld, assert_that, fail, mock_agent
from tests.kit.workflows import Asks, SlowOne, Sums


def types(events: list[Recorded]) -> list[str]:
    return [one.type for one in events]


def test_one_transition_after_the_other(flow: LocalEngine) -> None:
    run = flow.start(Sums, numbers=[1, 2])
    assert types(run.events) == ["workflow.created", "workflow.started"]
    assert types(flow.step()) == ["step.scheduled"]
    assert types(flow.step()) == ["task.started"]
    assert run.graph["load"].status == "running"

    last: list[Recorded] = []
    while events := flow.step():
        last = events
    assert types(last) == ["step.completed", "workflow.completed"]
    assert flow.step() == []


def test_until_a_step(flow: LocalEngine) -> None:
    run = flow.start(Sums, numbers=[1, 2])
    assert flow.until("double") is run
    assert run.graph["load"].status == "completed"
    assert run.graph["double"].status == "scheduled"
    assert flow.state == {"loaded": 2}
    assert flow.until("total").results("double") == [2, 4]
    assert run.until().result == 6


CONDITIONS: list[tuple[Until, str]] = [
    ("steps.double.completed == 1", "task.completed"),
    ("state.loaded > 2", "state.updated"),
    ("state.loaded", "state.updated"),
    ('event.type == "step.completed" and event.step == "double"', "step.completed"),
    ("workflow.completed", "workflow.completed"),
    (lambda run: len(run.events) == 4, "task.started"),
]


@pytest.mark.parametrize(("condition", "last"), CONDITIONS)
def test_until_a_condition(flow: LocalEngine, condition: Until, last: str) -> None:
    run = flow.start(Sums, numbers=[1, 2, 3]).until(condition)
    assert run.view.version <= len(run.history.events)
    assert run.events[-1].type == last


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("dubble", "no step 'dubble'; steps are load, double, total"),
        ("steps.dubble.failed > 0", "no step 'dubble'; steps are load, double, total"),
        ("steps.double.faild > 0", "no 'faild'; there are status, total, queued"),
        ("status =", "steps are load, double, total"),
        ("task.succeeded", "no event is a task.succeeded; there are task.started, task.compl"),
        (3, "takes a text or a function of the run, got 3"),
    ],
)
def test_a_condition_that_cannot_be_read_is_told(
    flow: LocalEngine, condition: Any, told: str
) -> None:
    flow.start(Sums, numbers=[])
    with pytest.raises((ValueError, TypeError), match=told):
        flow.until(condition)


@pytest.mark.parametrize("seconds", ["1h", -1])
def test_time_goes_on_by_seconds(flow: LocalEngine, seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"advance\(\) takes seconds or a timedelta"):
        flow.advance(seconds)


def test_what_a_run_has_not_is_told(flow: LocalEngine) -> None:
    run = flow.run(Sums, numbers=[])
    for wrong in (lambda: run.results("dubble"), lambda: run.graph["dubble"]):
        with pytest.raises(KeyError, match="no step 'dubble'; steps are load, double, total"):
            wrong()


def test_a_condition_that_never_holds_is_told(flow: LocalEngine) -> None:
    flow.start(Sums, numbers=[])
    with pytest.raises(NeverHeld, match=r"until\('status == \"failed\"'\) never held"):
        flow.until('status == "failed"')


def test_nothing_moves_between_two_moves(flow: LocalEngine) -> None:
    run = flow.start(Sums, numbers=[1, 2, 3]).until("double")
    before, version = flow.now, len(run.events)
    flow.start(SlowOne)
    assert (flow.now, len(run.events)) == (before, version)


def test_time_goes_on_when_it_is_told_to(flow: LocalEngine) -> None:
    run = flow.start(SlowOne)
    flow.advance(3599)
    assert run.graph["first"].status == "running"
    assert "step.completed" in types(flow.advance(timedelta(seconds=1)))
    before = flow.now
    assert types(flow.advance(29)) == []
    assert run.status == "running"
    flow.advance(1)
    assert run.status == "completed"
    flow.advance(86400)
    assert (flow.now - before).total_seconds() == pytest.approx(86430)


def test_a_paused_run_stands_still(flow: LocalEngine) -> None:
    run = flow.start(Sums, numbers=[1, 2]).until("double")
    flow.pause()
    flow.advance(3600)
    assert run.status == "paused"
    assert run.graph["double"].status == "scheduled"
    assert_that(run).never("task.started", step="double")
    with pytest.raises(Refused, match="paused"):
        flow.pause()

    flow.resume()
    assert run.until().result == 6


def test_a_paused_run_does_not_end(flow: LocalEngine) -> None:
    run = flow.start(Sums, numbers=[1]).until("double")
    run.pause()
    with pytest.raises(NeverHeld, match="can no longer come"):
        run.until()


def test_a_cancelled_run_stops_its_agents(flow: LocalEngine) -> None:
    thinker = mock_agent("thinker", returns=1, takes=600)
    with thinker:
        run = flow.start(Asks, question="why?").until("job.launched")
        flow.advance(10)
        run.cancel("no longer asked")
        run.until()
    assert thinker.last_call.outcome == "cancelled"
    assert thinker.last_call.took == pytest.approx(10, abs=0.1)
    with pytest.raises(WorkflowCancelled, match="no longer asked"):
        _ = run.result


def test_a_frozen_agent_takes_no_time(flow: LocalEngine) -> None:
    flow.agents = [mock_agent("thinker", returns=1, takes=60)]
    run = flow.start(Asks, question="why?").until("job.launched")
    run.pause(freeze=True)
    flow.advance(3600)
    run.resume()
    assert_that(run.until()).took(at_least=3660, at_most=3661)


def test_several_runs_at_once(flow: LocalEngine) -> None:
    runs = [flow.start(Sums, numbers=[number]) for number in range(3)]
    slow = flow.start(SlowOne)
    assert flow.until("workflow.completed") in runs
    flow.until()
    assert [run.result for run in runs] == [0, 2, 4]
    assert slow.status == "completed"
    assert flow.last is slow


def test_who_is_not_waited_for_is_up_to_date_too(flow: LocalEngine) -> None:
    other, run = flow.start(Sums, numbers=[1]), flow.start(SlowOne)
    run.until()
    assert other.result == 2


def test_limits_hold(flow: LocalEngine) -> None:
    most = 0

    def look(run: object) -> bool:
        nonlocal most
        most = max(most, flow.last.view.step("double").running)
        return False

    flow.start(Sums, numbers=[1] * 10)
    with pytest.raises(NeverHeld):
        flow.until(look)
    assert most == 2


def test_a_fork_takes_over_what_was_done(flow: LocalEngine) -> None:
    source = flow.run(Sums, numbers=[1, 2, 3])
    fork = source.fork(step="total")
    assert fork.until().result == 12
    assert_that(fork).ran("double").never("task.started", step="double").ran("total", times=1)

    with fail("total", error="in the fork"):
        assert_that(source.fork(step="total").until()).failed(step="total", match="in the fork")


def test_settings_are_those_of_the_engine() -> None:
    @workflow(name="waits_for_a_slot")
    class Waits:
        @step()
        def one(self, context: Context) -> None:
            context.state["one"] = 1

        @step(queue_timeout=30)
        def two(self, context: Context) -> None: ...

    with LocalEngine(slots=1, agent_slots=1) as engine:
        assert engine.run(Waits).status == "completed"
