"""The engine's events are what it would decide today; where it lagged behind its workers, too."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Bind, Definition, Fan, StepSpec
from agentainer_flow.core.ids import digest
from agentainer_flow.core.tail import Entry
from agentainer_flow.projections.histories import history_of
from agentainer_flow.reactors.decisions import needed_payloads
from agentainer_flow.sdk.verify import Part, Verified, verify_history

from .histories import DEFINITION, Log, chained, completed

DECISIONS: frozenset[Part] = frozenset({"decisions"})


def verify(log: Log, blobs: dict[str, bytes] | None = None) -> Verified:
    return verify_history(log.history(blobs), frozenset({"log", "decisions"}))


def test_nothing_is_found_in_what_an_engine_wrote() -> None:
    verified = verify(completed())
    assert (verified.findings, verified.decisions) == ([], 6)


def test_engine_that_lags_behind_its_workers_decides_on_what_it_saw() -> None:
    log = Log()
    log.decide()
    log.fail(0)
    seen = deepcopy(log.view)
    log.fail(1)
    log.add(e.WorkflowCancelRequested("enough"), "client")
    log.decide(seen)
    log.decide()
    log.decide()
    assert log.view.status == "cancelled"
    assert verify(log).findings == []


def test_last_of_several_steps_may_not_be_the_cause() -> None:
    """One commit completes both; its cause is the one that the next step names last."""
    join = Definition("join", (StepSpec("a"), StepSpec("b"), StepSpec("c", ("b", "a"))))
    log = Log(join)
    log.decide()
    log.complete(step="a")
    log.complete(step="b")
    log.decide()
    scheduled = log.history().events[-1]
    assert (scheduled.type, scheduled.cause) == ("step.scheduled", log.version - 2)
    assert verify(log).findings == []


def test_cancelled_tasks_follow_from_what_the_script_found() -> None:
    log = Log()
    log.decide()
    log.start(0)
    log.fail(1)
    log.decide()
    log.fail(1, attempt=2)
    log.decide()
    log.add(e.TaskCancelled("each", 0, 1), "engine", log.version)
    log.decide()
    assert log.view.status == "failed"
    assert verify(log).findings == []


Falsify = Callable[[e.Event], e.Event]

#: What is made of the first event of a type, and what is told to be expected.
FALSE: dict[str, tuple[str, Falsify, str]] = {
    "more tasks": ("step.scheduled", lambda x: msgspec.structs.replace(x, tasks=4), '"tasks":3'),
    "another delay": (
        "task.retried",
        lambda x: msgspec.structs.replace(x, delay_ms=1),
        "expected task.retried",
    ),
    "failures": ("step.completed", lambda x: e.StepCompleted("each", 1), "step.completed"),
    "a failure": (
        "step.completed",
        lambda x: e.StepFailed("each", e.Failure("ValueError", "no"), 0),
        'expected step.completed {"step":"each"}',
    ),
    "another result": (
        "workflow.completed",
        lambda x: e.WorkflowCompleted(msgspec.Raw(b"1")),
        'expected workflow.completed {"result":0}',
    ),
    "another result beside the log": (
        "workflow.completed",
        lambda x: e.WorkflowCompleted(blob=e.Blob("0" * 32, 7)),
        'expected workflow.completed {"result":0}',
    ),
    "a cancelled task": (
        "task.retried",
        lambda x: e.TaskCancelled("each", 1, 1),
        "expected nothing, for step each is running",
    ),
}


def falsified(kind: str, change: Falsify) -> list[Entry]:
    log = completed()
    events = log.history().events
    at = next(n for n, recorded in enumerate(events) if recorded.type == kind)
    event = change(events[at].event)
    name, fields = log.entries[at]
    data = {b"type": event.type.encode(), b"data": e.encode_event(event).encode()}
    log.entries[at] = (name, {**fields, **data})
    return chained(log.entries)


@pytest.mark.parametrize("name", FALSE)
def test_what_the_engine_would_not_decide_is_found(name: str) -> None:
    kind, change, words = FALSE[name]
    history = history_of("w", falsified(kind, change), DEFINITION.json, {})
    (found,) = verify_history(history, DECISIONS).findings
    assert words in found.text


def test_event_that_nothing_called_for_is_found() -> None:
    log = Log()
    log.decide()
    log.start(0)
    version = log.add(e.StepCompleted("each"), "engine", 3)
    (found,) = verify(log).findings
    assert (found.part, found.version) == ("decisions", version)
    assert found.text.startswith("expected nothing, for nothing is due, got step.completed")


def test_another_cause_is_found() -> None:
    log = completed()
    at = next(n for n, one in enumerate(log.history().events) if one.type == "step.completed")
    log.entries[at][1][b"cause"] = b"1"
    (found,) = verify(log).findings
    assert "got step.completed" in found.text
    assert found.text.endswith("because of event 1")


def test_payload_that_is_missing_is_named() -> None:
    data = b'"large"'
    blob = e.Blob(digest(data), len(data))
    log = Log(Definition("one", (StepSpec("a"),)))
    log.decide()
    started = log.start(step="a")
    log.add(e.TaskCompleted("a", 0, 1, blob=blob), "worker", started)
    log.add(e.StepCompleted("a"), "engine", log.version)
    log.add(e.WorkflowCompleted(msgspec.Raw(data)), "engine", log.version)
    assert verify(log, {blob.digest: data}).findings == []
    (found,) = verify(log).findings
    assert f"what payload {blob.digest} says, which is missing" in found.text


def test_payloads_that_decisions_need_are_named() -> None:
    """Results of the steps that end the run, or that others fan out over; no other ones."""
    steps = (StepSpec("a"), StepSpec("b", ("a",), parallel=Fan(Bind(step="a"))), StepSpec("c"))
    definition = Definition("some", (*steps, StepSpec("d", ("b", "c"))))
    blobs = {name: e.Blob(name * 32, 1) for name in "abcdes"}
    events: list[e.Event] = [
        e.TaskCompleted(name, 0, 1, blob=blobs[name]) for name in ("a", "b", "c")
    ]
    events.append(e.TasksReused("d", [e.ReusedTask(0, 1, blob=blobs["d"])]))
    events.append(e.StateUpdated([e.StateChange("set", "k", blob=blobs["s"])]))
    log = [e.Recorded(version, 1, event) for version, event in enumerate(events, 1)]
    assert needed_payloads(definition, log) == {name * 32 for name in "ads"}


@given(st.data())
def test_any_order_of_workers_and_engine_is_fine(data: st.DataObject) -> None:
    """The engine decides now and then, on what it saw at some time since its last commit."""
    log = Log(items=4)
    log.decide()
    seen = log.view
    for _ in range(data.draw(st.integers(0, 12))):
        ready = [
            (index, (task.attempt + 1) if (task := log.view.step("each").tasks.get(index)) else 1)
            for index in range(4)
            if (task := log.view.step("each").tasks.get(index)) is None or task.status == "retrying"
        ]
        if ready and log.view.status == "running" and log.view.step("each").status != "completed":
            index, attempt = data.draw(st.sampled_from(ready))
            finish = log.fail if data.draw(st.booleans()) else log.complete
            finish(index, attempt=attempt)
        if data.draw(st.booleans()):
            seen = deepcopy(log.view)
        if seen.version > log.view.version - 6 and data.draw(st.booleans()):
            log.decide(seen)
            seen = deepcopy(log.view)
    assert verify(log).findings == []
