"""Assertions say what was expected and what happened, with the story."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentainer_flow.testing import (
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
    (lambda run: run.ran("double", tasks=3), "to have 3 tasks\n     got 2"),
    (lambda run: run.ran("double", times=2), "to begin 2 times\n     got 3 times"),
    (lambda run: run.ran("dubble"), "steps are load, double, total"),
    (lambda run: run.never_ran("load"), "got it began 1 times"),
    (lambda run: run.in_order("total", "load"), "'total' to end before 'load' begins"),
    (lambda run: run.retried("load"), "load to be tried again\n     got 0 times"),
    (lambda run: run.attempts("load", 2), r"attempts of load\[0\] 2\n     got 1"),
    (lambda run: run.attempts("double", 1, index=5), r"double\[5\] to run"),
    (lambda run: run.lost("double"), "losses of 'double' 1\n     got 0"),
    (lambda run: run.task_failed("load"), r"load\[0\] to fail\n     got it is completed"),
    (lambda run: run.deployed("*"), "got 0 of the agents deployed: none"),
    (lambda run: run.happened("step.failed"), "expected step.failed\n     got 0 of them"),
    (lambda run: run.happened("step.faild"), "there are workflow.created, "),
    (lambda run: run.never("task.failed", index=1), "index=1 0 times\n     got 1 of them"),
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
    assert_that(failed).failed(error="Exception").task_failed("double", error="ValueError")
    for wrong, text in (
        ({"step": "load"}, "it failed in 'double'"),
        ({"error": "KeyError"}, "a KeyError\n     got ValueError: odd"),
        ({"match": "even"}, "an error like 'even'\n     got ValueError: odd"),
    ):
        with pytest.raises(NotSo, match=text):
            assert_that(failed).failed(**wrong)


def test_agents_are_counted() -> None:
    run = run_local(Asks, question="?", agents=[mock_agent("thinker", returns=1)])
    claim = assert_that(run).deployed("think*", times=1, env={"LANG": "en"}, outcome="succeeded")
    with pytest.raises(NotSo, match=r"deployed 2 times\n     got 1 of .*: thinker \(succeeded\)"):
        claim.deployed("*", times=2)


def test_a_long_story_is_cut_in_the_middle() -> None:
    run = run_local(Sums, numbers=[1] * 100)
    with pytest.raises(NotSo, match="more events …") as told:
        assert_that(run).failed()
    assert str(told.value).count("\n") < 75
