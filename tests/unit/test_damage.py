"""Damaged and strange logs: each damage is told with its version, and the rest still shows."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core.tail import Entry
from agentainer_flow.projections.documents import document, encode
from agentainer_flow.projections.histories import Transcript, first_stop, history_of
from agentainer_flow.projections.history import facts, replay
from agentainer_flow.sdk.verify import verify_history
from agentainer_flow.sdk.why import why

from .histories import DEFINITION, chained, completed

WHOLE = completed().entries
Damage = Callable[[list[Entry]], list[Entry]]


def change(at: int, **fields: bytes | None) -> Damage:
    """Give the entry of version `at` other fields; None takes one away."""

    def damage(entries: list[Entry]) -> list[Entry]:
        name, old = entries[at - 1]
        new = {**old, **{field.encode(): value for field, value in fields.items()}}
        kept = {field: value for field, value in new.items() if value is not None}
        return [*entries[: at - 1], (name, kept), *entries[at:]]

    return damage


def rechained(damage: Damage) -> Damage:
    return lambda entries: chained(damage(entries))


#: What is done to a log of 18 events, and what is told of which.
DAMAGES: dict[str, tuple[Damage, int, str]] = {
    "a gap": (lambda x: x[:4] + x[5:], 5, "it is missing"),
    "a wide gap": (lambda x: x[:4] + x[8:], 5, "the following ones up to event 8 are missing"),
    "no beginning": (lambda x: x[2:], 1, "it and the following ones up to event 2 are missing"),
    "a broken chain": (change(7, dg=b"0" * 16), 7, "its digest is 0000000000000000, the events"),
    "changed data": (change(7, data=b"{}"), 7, "the events before it give"),
    "an unknown type": (rechained(change(7, type=b"task.blessed")), 7, "its type 'task.blessed'"),
    "a future schema": (change(7, schema=b"2"), 7, "it has schema 2 of task."),
    "a strange schema": (change(7, schema=b"two"), 7, "its schema is 'two', expected a number"),
    "a cut payload": (rechained(change(7, data=b'{"step":"ea')), 7, "its data cannot be read as"),
    "a payload that is no text": (rechained(change(7, data=b"\xff")), 7, "its data cannot be read"),
    "no type": (change(7, type=None), 7, "it has no type"),
    "no data": (change(7, data=None), 7, "it has no data"),
    "no time": (change(7, ts=None), 7, "it has no ts"),
    "no writer": (change(7, by=None), 7, "it has no by"),
    "no digest": (change(7, dg=None), 7, "its digest is missing"),
    "a strange time": (change(7, ts=b"soon"), 7, "its time is 'soon'"),
    "a time after all calendars": (change(7, ts=b"9" * 18), 7, "expected milliseconds"),
    "a strange cause": (change(7, cause=b"99"), 7, "its cause is '99', expected an earlier event"),
    "another first event": (
        rechained(lambda x: x[1:]),
        1,
        "the log begins with workflow.started, expected workflow.created",
    ),
    "an event that does not apply": (
        rechained(change(7, type=b"task.retried", data=b'{"step":"no","index":9,"attempt":2}')),
        7,
        "task.retried does not apply to what the events before it tell",
    ),
    "a strange id": (lambda x: [*x[:6], (b"7-3", x[6][1]), *x[7:]], 7, "its id is 7-3"),
}


def damaged(name: str) -> list[Entry]:
    return DAMAGES[name][0](list(WHOLE))


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_with_its_version_and_reason(name: str) -> None:
    _, version, words = DAMAGES[name]
    history = history_of("w", damaged(name), DEFINITION.json, {})
    history.fold()
    assert [one for one in history.problems if one.version == version and words in one.reason]


@pytest.mark.parametrize("name", DAMAGES)
def test_rest_of_a_damaged_log_still_shows(name: str) -> None:
    history = history_of("w", damaged(name), DEFINITION.json, {})
    view = history.fold()
    assert view.status == "completed"
    assert len(list(replay("w", history.events))) == len(history.events)
    assert why(history)
    assert not verify_history(history).clean


@pytest.mark.parametrize("name", DAMAGES)
def test_quick_and_careful_reading_tell_the_same(name: str) -> None:
    entries = damaged(name)
    careful = history_of("w", entries, DEFINITION.json, {})
    quick = Transcript("w")
    quick.add_raw((name, [x for pair in got.items() for x in pair]) for name, got in entries)
    assert quick.history(DEFINITION.json, {}) == careful


def test_whole_log_has_no_problems() -> None:
    history = history_of("w", WHOLE, DEFINITION.json, {})
    history.fold()
    assert history.problems == []
    assert first_stop("w", history.events) is None


@pytest.mark.parametrize("stored", [None, b"{", b'{"name":1}'])
def test_without_a_definition_steps_are_known_by_their_events(stored: bytes | None) -> None:
    history = history_of("w", WHOLE, stored, {})
    view = history.fold()
    (problem,) = history.problems
    assert "its definition" in problem.reason
    assert list(history.shown_definition(view).by_id) == ["each", "last"]
    assert document(view, history.shown_definition(view)).status == "completed"


FIELD = st.sampled_from([b"type", b"data", b"ts", b"by", b"dg", b"cause", b"schema"])
KINDS = st.sampled_from([fields[b"type"] for _, fields in WHOLE])
DATA = st.sampled_from([fields[b"data"] for _, fields in WHOLE])


@given(
    st.lists(
        st.tuples(st.integers(1, len(WHOLE)), FIELD, KINDS | DATA | st.binary(max_size=5)),
        max_size=5,
    ),
    st.sets(st.integers(1, len(WHOLE))),
    st.booleans(),
)
def test_nothing_crashes_whatever_a_log_holds(
    changes: list[tuple[int, bytes, bytes]], lost: set[int], chain: bool
) -> None:
    entries = list(WHOLE)
    for at, field, value in changes:
        entries = change(at, **{field.decode(): value})(entries)
    entries = [entry for at, entry in enumerate(entries, 1) if at not in lost]
    history = history_of("w", chained(entries) if chain else entries, DEFINITION.json, {})
    view = history.fold()
    encode(document(view, history.shown_definition(view)))
    msgspec.json.encode([*facts(view).items()])
    assert why(history)
    verify_history(history)
