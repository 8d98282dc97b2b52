"""Walking along a log: at any event the view is what folding up to it gives, however one came."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core import events as e
from agentainer_flow.projections.fold import fold
from agentainer_flow.projections.history import facts, replay
from agentainer_flow.projections.timeline import APART, BEHIND, FAILURES, Timeline

from .test_history import FAILED
from .test_workflow_view import log

WIDE = log(
    e.WorkflowCreated("wf", "digest"),
    e.WorkflowStarted(),
    e.StepScheduled("a", tasks=2 * APART, queued=2 * APART),
    *(
        event
        for index in range(2 * APART)
        for event in (
            e.TaskStarted("a", index, 1, "w"),
            e.StateUpdated([e.StateChange("append", "list", msgspec.Raw(b"%d" % index))]),
            e.TaskCompleted("a", index, 1),
        )
    ),
    e.StepCompleted("a"),
)


def encoded(view: object) -> bytes:
    return msgspec.json.encode(view, order="deterministic")


@given(st.lists(st.integers(0, len(FAILED)), max_size=8))
def test_every_way_leads_to_the_same_view(positions: list[int]) -> None:
    timeline = Timeline("w", FAILED)
    for position in positions:
        seen = timeline.view_at(position)
        assert encoded(facts(seen)) == encoded(facts(fold("w", FAILED[:position])))


def test_the_way_back_over_views_that_were_kept() -> None:
    timeline = Timeline("w", WIDE)
    timeline.view_at(len(WIDE))
    for position in (len(WIDE) - 1, len(WIDE) - 2, 3 * BEHIND + APART, APART, APART - 1, 1):
        assert timeline.view_at(position).steps == fold("w", WIDE[:position]).steps
    assert timeline.view_at(len(WIDE)).steps == fold("w", WIDE).steps


def test_the_changes_of_an_event_whichever_way_one_came() -> None:
    timeline = Timeline("w", FAILED)
    told = [changed for _, changed in replay("w", FAILED)]
    backwards = [timeline.changes_at(position) for position in range(len(FAILED), 0, -1)]
    assert encoded(backwards[::-1]) == encoded(told)


def test_finding_events() -> None:
    timeline = Timeline("w", FAILED)

    def is_failure(one: e.Recorded) -> bool:
        return one.type in FAILURES

    first = timeline.find(is_failure, 1)
    assert first is not None
    assert FAILED[first - 1].type == "task.failed"
    assert timeline.find(is_failure, first, -1) is None
    assert timeline.find(is_failure, len(FAILED)) is None


def test_positions_of_versions_and_times() -> None:
    timeline = Timeline("w", FAILED)
    assert timeline.position_of(4, None) == 4
    assert timeline.position_of(999, None) == len(FAILED)
    assert timeline.position_of(0, None) == 1
    assert timeline.position_of(None, FAILED[5].ts) == 6
