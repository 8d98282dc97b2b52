"""Faults where a test wants them, and what the engine makes of them in no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentainer_flow import Context, parallel, step, workflow
from agentainer_flow.testing import (
    LocalEngine,
    assert_that,
    fail,
    lose_worker,
    mock_agent,
    run_local,
    slow,
)
from tests.kit.workflows import Asks, SlowOne, Sums


def test_a_task_fails_once_and_is_tried_again() -> None:
    fault = fail("double", index=1, attempt=1, error=ConnectionError("reset"))
    run = run_local(Sums, numbers=[1, 2, 3], faults=[fault])

    assert run.result == 12
    assert fault.happened == [(run.id, 1, 1)]
    assert_that(run).attempts("double", 2, index=1).attempts("double", 1).took(at_least=5)
    assert_that(run).happened("task.failed", times=1, step="double", index=1)


def test_a_task_that_fails_always_fails_the_run() -> None:
    run = run_local(Sums, numbers=[1, 2], faults=[fail("double", index=0)])
    assert_that(run).failed(step="double", error="RuntimeError", match="injected")
    assert_that(run).retried("double", index=0, times=2).never_ran("total")


def test_errors_may_be_classes_and_patterns_name_steps() -> None:
    run = run_local(Sums, numbers=[1], faults=[fail("*", times=1, error=KeyError)])
    assert_that(run).failed(step="load", error="LookupError")


def test_faults_around_the_run() -> None:
    with fail("load", error="around"):
        assert_that(run_local(Sums, numbers=[1])).failed(match="around")
    assert_that(run_local(Sums, numbers=[1])).completed()


def test_a_slow_step_is_late() -> None:
    assert run_local(Sums, numbers=[1], faults=[slow("total", takes=600)]).took == 600


@pytest.mark.parametrize("takes", [31, float("inf")])
def test_a_step_that_takes_too_long_times_out(takes: float) -> None:
    run = run_local(SlowOne, faults=[slow("second", takes=takes)])
    assert_that(run).failed(step="second", error="TaskTimeout", match="longer than 60")
    assert run.took == pytest.approx(3660, abs=0.1)


def test_a_plain_step_times_out_too() -> None:
    @workflow(name="plain")
    class Plain:
        @step(timeout=10)
        def one(self, context: Context) -> None: ...

    run = run_local(Plain, faults=[slow("one")])
    assert_that(run).failed(error="TaskTimeout").took(at_least=10, at_most=10.1)


def test_a_task_waits_too_long_for_a_slot() -> None:
    @workflow(name="queues")
    class Queues:
        @step(queue_timeout=30)
        @parallel()
        def one(self, context: Context, item: int) -> int:
            return item

    with LocalEngine(slots=1, faults=[slow("one", takes=31)]) as engine:
        run = engine.run(Queues, items=2)
    assert_that(run).failed(step="one", error="QueueTimeout")


def test_a_workflow_takes_too_long() -> None:
    @workflow(name="limited", timeout=100)
    class Limited:
        @step()
        def one(self, context: Context) -> None: ...

    run = run_local(Limited, faults=[slow("one", takes=101)])
    assert_that(run).failed().happened("workflow.timed_out").took(at_least=100, at_most=101)


def test_a_worker_dies_and_another_goes_on() -> None:
    run = run_local(Sums, numbers=[1, 2, 3], faults=[lose_worker("double", index=1)])

    assert run.result == 12
    assert_that(run).lost("double", index=1, times=1).took(at_least=5, at_most=6)
    tasks = run.view.step("double").tasks
    assert tasks[0].worker != tasks[1].worker == tasks[2].worker


def test_a_task_that_kills_its_workers_fails_as_poison() -> None:
    run = run_local(Sums, numbers=[1], faults=[lose_worker("load", times=9)])
    assert_that(run).failed(step="load", error="Poison").lost("load", times=2)


def test_an_agent_survives_the_worker_of_its_task(flow: LocalEngine) -> None:
    thinker = mock_agent("thinker", returns=1, takes=60)
    flow.agents = [thinker]
    run = flow.start(Asks, question="?").until("job.launched")
    flow.lose_worker()

    assert run.until().result == 1
    assert len(thinker.calls) == 1
    assert_that(run).ran("ask", times=2).lost("ask", times=1).took(at_least=60, at_most=61)


def test_recorded_values_survive_the_worker(flow: LocalEngine) -> None:
    calls: list[int] = []

    def count() -> int:
        calls.append(1)
        return 7

    @workflow(name="once")
    class Once:
        @step()
        def one(self, context: Context) -> int:
            value: int = context.run("number", count)
            context.sleep(30)
            return value

    run = flow.start(Once).until("event.type == 'effect.recorded' and event.version > 5")
    flow.lose_worker()
    assert run.until().result == 7
    assert calls == [1]
    assert_that(run).took(at_least=30, at_most=30.1)


@pytest.mark.parametrize(
    ("make", "given", "options", "error"),
    [
        (
            run_local,
            Sums,
            {"faults": [fail("dubble")]},
            r"fail\('dubble'\) is of no step; steps are",
        ),
        (run_local, Sums, {"faults": fail("load")}, r"a list of fail\(…\), slow\(…\) or lose_work"),
        (fail, "load", {"error": 42}, "error= is an exception or a text, got 42"),
        (fail, "load", {"index": "1"}, "index is a number from 0 on, got '1'"),
        (fail, "load", {"attempt": 0}, "attempt is a number from 1 on, got 0"),
        (lose_worker, "load", {"times": 0}, "times is a number from 1 on, got 0"),
        (slow, "load", {"takes": -1}, "takes= is seconds, got -1"),
    ],
)
def test_what_can_never_happen_is_said_at_once(
    make: Callable[..., Any], given: Any, options: dict[str, Any], error: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        make(given, **options)
