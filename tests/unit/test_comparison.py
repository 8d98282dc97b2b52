"""Comparing two runs: what differs, aligned by step, index and attempt."""

from __future__ import annotations

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Definition, StepSpec
from agentainer_flow.projections.comparison import Comparison, compare, run_of
from agentainer_flow.projections.histories import History

from .test_workflow_view import ERROR, RAW, log

DEFINITION = Definition("wf", (StepSpec("a"), StepSpec("b", ("a",))))
BEGUN = (
    e.WorkflowCreated("wf", "digest", input=RAW(b'{"n": 1}')),
    e.WorkflowStarted(),
    e.StepScheduled("a", 1, 1),
    e.TaskStarted("a", 0, 1, "w1"),
)
WELL = (*BEGUN, e.TaskCompleted("a", 0, 1, RAW(b"1")), e.StepCompleted("a"))
AT_LAST = (
    *BEGUN,
    e.TaskFailed("a", 0, 1, ERROR),
    e.TaskRetried("a", 0, 2),
    e.TaskStarted("a", 0, 2, "w2"),
    e.TaskCompleted("a", 0, 2, RAW(b"1")),
    e.StepCompleted("a"),
)


def compared(
    one: tuple[e.Event, ...], other: tuple[e.Event, ...], now: Definition = DEFINITION
) -> Comparison:
    before, after = History("w1", log(*one), DEFINITION), History("w2", log(*other), now)
    return compare(run_of(before), run_of(after))


def paths(comparison: Comparison) -> list[str]:
    return [change.path for change in comparison.changes]


def test_runs_that_went_alike_do_not_differ() -> None:
    found = compared(WELL, WELL)
    assert found.changes == []
    assert [(pair.id, pair.attempts, pair.differing) for pair in found.steps] == [
        ("a", 1, 0),
        ("b", 0, 0),
    ]


def test_attempts_are_aligned_by_their_number() -> None:
    found = compared(WELL, AT_LAST)
    assert paths(found) == [
        "steps.a.tasks.0.attempts.1",
        "steps.a.tasks.0.attempts.1.error",
        "steps.a.tasks.0.attempts.1.result",
        "steps.a.tasks.0.attempts.2",
        "steps.a.tasks.0.attempts.2.result",
    ]
    assert (found.steps[0].attempts, found.steps[0].differing) == (2, 2)
    took = found.steps[0].took_ms
    assert took[0] is not None
    assert took[1] is not None
    assert took[0] < took[1]


def test_what_was_taken_over_ended_as_it_did() -> None:
    reused = (
        *BEGUN[:2],
        e.TasksReused("a", [e.ReusedTask(0, 1, RAW(b"1"))]),
        e.StepReused("a", 1),
    )
    assert [path for path in paths(compared(WELL, reused)) if ".tasks." in path] == []


def test_inputs_and_definitions() -> None:
    created = e.WorkflowCreated("wf", "other", input=RAW(b'{"n": 2}'))
    slower = Definition("wf", (StepSpec("a", timeout_s=1), StepSpec("c")))
    found = compared(WELL, (created, *WELL[1:]), slower)
    assert paths(found) == ["definition", "definition.a", "definition.b", "definition.c", "input.n"]
    assert [pair.statuses for pair in found.steps] == [
        ("completed", "completed"),
        ("pending", None),
        (None, "pending"),
    ]
