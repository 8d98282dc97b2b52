"""Assertions say what was expected and what happened, with the story."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from agentainer_flow import AsyncContext, step, workflow
from agentainer_flow.testing import (
    LocalEngine,
    NotSo,
    RunAssertions,
    WorkflowRun,
    assert_that,
    fail,
    mock_agent,
    run_local,
)
from tests.kit.workflows import Asks, Sums


@pytest.fixture(scope="module")
def sums() -> WorkflowRun:
    return run_local(Sums, numbers=[1, 2], faults=[fail("double", index=1, attempt=1)])


@pytest.fixture(scope="module")
def failed() -> WorkflowRun:
    return run_local(Sums, numbers=[1], faults=[fail("double", error=ValueError("odd"))])


def test_what_holds_can_be_chained(sums: WorkflowRun) -> None:
    (
        assert_that(sums)
        .completed()
        .result(6)
        .state(loaded=2, total=6)
        .ran("load", times=1, status="completed")
        .ran("double", tasks=2, times=3)
        .in_order("load", "double", "total")
        .retried("double", index=1, times=1)
        .attempts("double", 2, index=1)
        .happened("task.failed", times=1, step="double")
        .never("step.failed")
        .took(at_least=1, at_most=60)
        .satisfies(lambda run: run.name == "sums")
    )


CLAIMS: list[tuple[Callable[[RunAssertions], Any], str]] = [
    (lambda run: run.failed(), "expected sums failed\n     got completed"),
    (lambda run: run.result(7), "expected result 7\n     got 6"),
    (lambda run: run.state(total=7), r"expected state\['total'\] 7\n     got 6"),
    (lambda run: run.state(sum=7), "only loaded, total"),
    (lambda run: run.took(at_most=1), "expected it to take 0 to 1 s"),
    (lambda run: run.took(at_least=99), "expected it to take at least 99 s"),
    (lambda run: run.ran("double", tasks=3), "to have 3 tasks\n     got 2"),
    (lambda run: run.ran("double", times=2), "to begin 2 times\n     got 3 times"),
    (lambda run: run.ran("dubble"), "steps are load, double, total"),
    (lambda run: run.never_ran("load"), "got it began 1 times"),
    (lambda run: run.in_order("total", "load"), "'load' began at event 4, before event 21"),
    (lambda run: run.retried("load"), "load to be tried again\n     got 0 times"),
    (lambda run: run.attempts("load", 2), r"attempts of load\[0\] 2\n     got 1"),
    (lambda run: run.attempts("double", 1, index=5), r"double\[5\] to run"),
    (lambda run: run.lost("double"), "double to be lost\n     got 0 times"),
    (lambda run: run.lost("dubble"), "steps are load, double, total"),
    (lambda run: run.task_failed("load"), r"load\[0\] to fail\n     got it is completed"),
    (lambda run: run.deployed("*"), "got 0 of the agents deployed: none"),
    (lambda run: run.happened("step.failed"), "expected step.failed\n     got 0 of them"),
    (lambda run: run.happened("step.faild"), "there are workflow.created, "),
    (lambda run: run.never("task.failed", index=1), "index=1 0 times\n     got 1 of them"),
    (lambda run: run.never("task.failed", indx=1), "'indx'\n     got it has step, index,"),
    (lambda run: run.satisfies(lambda run: False, "luck"), "expected luck"),
]


@pytest.mark.parametrize(("claim", "text"), CLAIMS)
def test_what_does_not_hold_is_told(
    sums: WorkflowRun, claim: Callable[[RunAssertions], Any], text: str
) -> None:
    with pytest.raises(NotSo, match=text) as told:
        claim(assert_that(sums))
    assert "task.retried        double[1] attempt 2 in" in str(told.value)


def test_failures_are_told_apart(failed: WorkflowRun) -> None:
    assert_that(failed).failed(step="double", error="ValueError", match="^odd$")
    assert_that(failed).failed("double", error="Exception").task_failed(
        "double", error="ValueError"
    )
    for wrong, text in (
        ({"step": "load"}, "it failed in 'double'"),
        ({"step": "dubble"}, "steps are load, double, total"),
        ({"error": "KeyError"}, "a KeyError\n     got ValueError: odd"),
        ({"match": "even"}, "an error like 'even'\n     got ValueError: odd"),
    ):
        with pytest.raises(NotSo, match=text):
            assert_that(failed).failed(**wrong)


def test_agents_are_counted() -> None:
    run = run_local(Asks, question="?", agents=[mock_agent("thinker", returns=1)])
    claim = assert_that(run).deployed("think*", times=1, env={"LANG": "en"}, outcome="succeeded")
    claim.deployed("thinker:2").deployed("*", input="?").deployed("*", times=0, input="!")
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"times": 2}, r"deployed 2 times\n     got 1 of the agents deployed: thinker \(succeeded"),
        ({"env": {"LANG": "de"}}, r"env={'LANG': 'de'} to be .*\n.*thinker \(.*{'LANG': 'en'}"),
        ({"input": "!"}, r"input='!' to be deployed\n     got 0 .*thinker \(succeeded, input='\?'"),
    ]
    for wrong, text in wrongs:
        with pytest.raises(NotSo, match=text):
            claim.deployed("*", **wrong)


def test_of_a_long_value_it_is_told_where_it_differs() -> None:
    pages = {f"page {n}": "text" for n in range(9)}
    run = run_local(Asks, question="?", agents=[mock_agent("*", returns=pages)])
    with pytest.raises(NotSo, match=r"}\n-  'page 3': 'test',\n\+  'page 3': 'text',\n\n<run"):
        assert_that(run).result(pages | {"page 3": "test"})


def test_the_story_of_a_failure_ends_where_the_step_failed() -> None:
    @workflow(name="divides")
    class Divides:
        @step()
        async def divide(self, context: AsyncContext) -> float:
            return 1 / 0

    first, *frames, last = run_local(Divides).story().splitlines()[-5:]
    assert first == "Traceback (most recent call last):"
    assert "test_assertions.py" in frames[0]
    assert last == "ZeroDivisionError: division by zero"


def test_an_engine_stands_for_its_last_run(flow: LocalEngine) -> None:
    flow.run(Sums, numbers=[1])
    assert_that(flow).completed()
    with pytest.raises(TypeError, match="takes a run or the file of a history, got 6"):
        assert_that(cast("Any", 6))


def test_a_long_story_is_cut_in_the_middle() -> None:
    run = run_local(Sums, numbers=[1] * 100)
    with pytest.raises(NotSo, match="more events …") as told:
        assert_that(run).failed()
    assert str(told.value).count("\n") < 75
