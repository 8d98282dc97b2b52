"""Looking back: what events changed adds up to what the view says, at any moment."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core import events as e
from agentainer_flow.projections.fold import fold
from agentainer_flow.projections.history import (
    Change,
    Facts,
    Moment,
    blame,
    changes,
    facts,
    look_back,
    parse_moment,
    replay,
)
from agentainer_flow.projections.workflow import WorkflowView

from .test_workflow_view import ERROR, RAW, STORY, log

BLOB = e.Blob("d" * 64, 900_000)
FAILED = log(
    e.WorkflowCreated("wf", "digest"),
    e.WorkflowStarted(),
    e.StepScheduled("a", tasks=3, queued=1),
    e.TasksQueued("a", first=1, count=2),
    e.TaskStarted("a", 0, 1, "w1"),
    e.StateUpdated([e.StateChange("set", "list", blob=BLOB)]),
    e.StateUpdated([e.StateChange("append", "list", RAW(b"1"))]),
    e.StateUpdated([e.StateChange("append", "list", RAW(b"2"))]),
    e.TaskFailed("a", 0, 1, ERROR),
    e.TaskRetried("a", 0, 2, delay_ms=1000),
    e.WorkflowPaused(),
    e.WorkflowResumed(),
    e.TaskStarted("a", 0, 2, "w1"),
    e.TaskStarted("a", 1, 1, "w2"),
    e.JobRequested("a", 1, "j", 1, "agent", e.JobSpec("image")),
    e.TaskFailed("a", 0, 2, ERROR),
    e.StepFailed("a", ERROR, 0),
    e.JobStopRequested("a", 1, "j"),
    e.JobCancelled("a", 1, "j"),
    e.TaskCancelled("a", 1, 1),
    e.WorkflowFailed(ERROR, "a", 0),
)


def encoded(found: Facts) -> dict[str, bytes]:
    return {path: msgspec.json.encode(value) for path, value in found.items()}


def patched(found: Facts, changed: list[Change]) -> Facts:
    for change in changed:
        assert found.pop(change.path, msgspec.UNSET) == change.before
        if change.after is not msgspec.UNSET:
            found[change.path] = change.after
    return found


@pytest.mark.parametrize("story", [STORY, FAILED])
def test_the_changes_of_events_add_up_to_the_view(story: list[e.Recorded]) -> None:
    found: Facts = {}
    for recorded, changed in replay("w", story):
        found = patched(found, changed)
        assert encoded(found) == encoded(facts(fold("w", story[: recorded.version])))
    assert found["status"] == fold("w", story).status


@given(st.integers(0, len(FAILED)), st.integers(0, len(FAILED)))
def test_the_difference_leads_from_one_moment_to_another(first: int, second: int) -> None:
    one, other = (facts(fold("w", FAILED[:version])) for version in (first, second))
    assert encoded(patched(dict(one), changes(one, other))) == encoded(other)


def test_a_moment_is_a_version_or_a_time() -> None:
    assert parse_moment("12") == Moment(version=12)
    assert parse_moment("2026-05-04T10:30:00+00:00") == Moment(ms=1_777_890_600_000)
    local = datetime(2026, 5, 4, 10, 30)
    assert parse_moment("2026-05-04 10:30") == Moment(ms=int(local.timestamp() * 1000))


@pytest.mark.parametrize("text", ["", "-1", "yesterday", "²", "1.5"])
def test_other_moments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a version such as 12 or a time"):
        parse_moment(text)


def test_the_view_as_it_was() -> None:
    assert look_back("w", STORY, Moment(version=3)).version == 3
    assert look_back("w", STORY, Moment(ms=1005)).version == 5
    assert look_back("w", STORY, Moment(ms=9999)).status == "completed"


@pytest.mark.parametrize(
    ("moment", "problem"),
    [
        (Moment(version=0), "has events 1 to 17, no 0"),
        (Moment(version=18), "has events 1 to 17, no 18"),
        (Moment(ms=1000), "was created later"),
    ],
)
def test_there_was_no_such_moment(moment: Moment, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        look_back("w", STORY, moment)


def test_blame_finds_the_last_change_and_what_caused_it() -> None:
    story = [
        msgspec.structs.replace(one, cause={16: 15, 15: 14, 14: 3}.get(one.version))
        for one in STORY
    ]
    chain, change = blame("w", story, "steps.a.status")
    assert [one.version for one in chain] == [3, 14, 15, 16]
    assert change == Change("steps.a.status", "running", "completed")


def test_blame_takes_paths_above_values_and_values_that_are_gone() -> None:
    chain, change = blame("w", STORY, "steps.a.tasks.0")
    assert (chain[-1].version, change and change.path) == (13, "steps.a.tasks.0.result")
    chain, change = blame("w", STORY, "state.k")
    assert (chain[-1].version, change and change.after) == (14, msgspec.UNSET)
    assert blame("w", STORY, "steps.a.task") == ([], None)


def test_before_the_first_event_there_is_nothing() -> None:
    assert facts(WorkflowView("w")) == {}
