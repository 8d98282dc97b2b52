"""Conditions over an event and the view after it."""

from __future__ import annotations

import pytest

from agentainer_flow.core import events as e
from agentainer_flow.projections.conditions import Condition
from agentainer_flow.projections.fold import fold

from .test_history import FAILED
from .test_workflow_view import RAW, log

STATEFUL = log(
    e.WorkflowCreated("wf", "digest"),
    e.StateUpdated([e.StateChange("set", "value", RAW(b'{"total": 3, "items": [1, 2]}'))]),
    e.StateUpdated([e.StateChange("set", "a key", RAW(b"7"))]),
)


def first(text: str, events: list[e.Recorded]) -> int | None:
    condition = Condition(text)
    for recorded in events:
        if condition.holds(recorded, fold("w", events[: recorded.version])):
            return recorded.version
    return None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("event.type == 'task.failed'", 9),
        ("event.step == 'a' and event.index == 1", 14),
        ("steps.a.failed > 0", 9),
        ("steps.a.attempts >= 2", 13),
        ("steps.a.status == 'running'", 5),
        ("status == 'paused'", 11),
        ("status in ['failed', 'cancelled']", 21),
        ("event.error and 'boom' in event.error", None),
        ("steps.nothing.total > 0", None),
        ("event.nothing.at.all > 1", None),
    ],
)
def test_where_a_condition_first_holds(text: str, version: int | None) -> None:
    assert first(text, FAILED) == version


def test_names_in_state_are_looked_up_whatever_python_has_of_that_name() -> None:
    assert first("state.value.total == 3", STATEFUL) == 2
    assert first("len(state.value.items) == 2", STATEFUL) == 2
    assert first("state['a key'] > 6", STATEFUL) == 3
    assert first("state.keys == null", STATEFUL) == 1


@pytest.mark.parametrize(
    "text",
    ["status ==", "nothing > 1", "open('x')", "status.__class__.x()", "(lambda: 1)()", "1/0"],
)
def test_what_cannot_be_read_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="the condition"):
        Condition(text)
