"""The fold of a log: four cases of reading, and any split of it gives the same view."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core import events as e
from agentainer_flow.projections.fold import Gap, RolledBack, apply, fold
from agentainer_flow.projections.workflow import WorkflowView

RAW = msgspec.Raw
ERROR = e.Failure("ValueError", "no")


def log(*events: e.Event) -> list[e.Recorded]:
    return [e.Recorded(n, 1000 + n, event, digest=f"d{n}") for n, event in enumerate(events, 1)]


STORY = log(
    e.WorkflowCreated("wf", "digest", input=RAW(b'{"chunks":2}')),
    e.WorkflowStarted(),
    e.StepScheduled("a", tasks=2, queued=2),
    e.TaskStarted("a", 0, 1, "w1"),
    e.TaskStarted("a", 1, 1, "w1"),
    e.StateUpdated([e.StateChange("set", "k", RAW(b"1")), e.StateChange("append", "l", RAW(b"7"))]),
    e.JobRequested("a", 0, "j", 1, "agent", e.JobSpec("image")),
    e.JobLaunched("a", 0, "j", "c1", "host", "process"),
    e.TaskLost("a", 1, 1, "w1"),
    e.TaskStarted("a", 1, 1, "w2"),
    e.JobSucceeded("a", 0, "j", RAW(b"{}")),
    e.Unknown("task.blessed", RAW(b'{"by":"nobody"}')),
    e.TaskCompleted("a", 0, 1, RAW(b"10")),
    e.StateUpdated([e.StateChange("append", "l", RAW(b"8")), e.StateChange("delete", "k")]),
    e.TaskCompleted("a", 1, 1, RAW(b"11")),
    e.StepCompleted("a"),
    e.WorkflowCompleted(RAW(b"[10,11]")),
)


def test_view_tells_what_the_log_says() -> None:
    view = fold("w", STORY)

    assert (view.status, view.version) == ("completed", len(STORY))
    assert msgspec.json.encode(view.state) == b'{"l":[7,8]}'
    assert view.steps["a"].tasks[1].worker == "w2"
    assert (view.steps["a"].running, view.steps["a"].completed, view.unsettled_jobs) == (0, 2, 0)
    assert view.jobs["j"].status == "succeeded"


@given(st.integers(0, len(STORY)), st.integers(0, len(STORY)))
def test_overlapping_reads_give_the_same_view(split: int, overlap: int) -> None:
    whole = fold("w", STORY)

    view = fold("w", STORY[:split])
    for recorded in STORY[max(0, split - overlap) :]:
        apply(view, recorded)

    assert msgspec.json.encode(view) == msgspec.json.encode(whole)


def test_event_that_does_not_follow_is_a_gap() -> None:
    view = fold("w", STORY[:3])

    with pytest.raises(Gap):
        apply(view, STORY[4])
    assert view.version == 3


def test_other_content_at_a_known_version_is_a_rolled_back_log() -> None:
    view = fold("w", STORY[:3])

    with pytest.raises(RolledBack):
        apply(view, e.Recorded(3, 1003, e.WorkflowStarted(), digest="other"))


def test_event_that_was_lost_and_came_again_later_is_another_one() -> None:
    written = e.Recorded(1, 1000, e.WorkflowStarted(), digest="same")
    view = fold("w", [written])

    assert apply(view, written) is view
    with pytest.raises(RolledBack):
        apply(view, msgspec.structs.replace(written, ts=1500))


def test_failing_step_makes_the_workflow_failing_until_the_end() -> None:
    view = fold("w", STORY[:5])
    for version, event in enumerate(
        [e.TaskFailed("a", 0, 1, ERROR), e.StepFailed("a", ERROR, 0)], 6
    ):
        apply(view, e.Recorded(version, 2000, event))

    assert (view.status, view.steps["a"].status, view.steps["a"].failures) == (
        "failing",
        "failed",
        [0],
    )
    apply(view, e.Recorded(8, 2001, e.WorkflowFailed(ERROR, "a", 0)))
    assert (view.status, view.ended) == ("failed", True)


def test_empty_log_is_a_view_of_nothing() -> None:
    assert fold("w", []) == WorkflowView("w")
