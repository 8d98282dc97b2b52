"""A snapshot and the tail of a log give what folding the whole log gives."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentainer_flow.core import events as e
from agentainer_flow.core.log import decode_entry
from agentainer_flow.projections import snapshots
from agentainer_flow.projections.fold import apply, fold
from agentainer_flow.projections.snapshots import decode_snapshot, encode_snapshot, is_due
from agentainer_flow.projections.workflow import WorkflowView

from .invariants.maker import Maker, render

chances = st.builds(Random, st.integers(0, 10**9))


def plain(view: WorkflowView) -> WorkflowView:
    """Without what its readers empty."""
    return msgspec.structs.replace(view, touched=set[str](), new_jobs=[])


@settings(deadline=None, max_examples=100)
@given(chances)
def test_a_snapshot_and_the_tail_are_the_fold_of_the_log(chance: Random) -> None:
    events = [decode_entry((name, dict(fields))) for name, fields in render(Maker(chance).make())]
    at = chance.randint(1, len(events))
    view = decode_snapshot(encode_snapshot(fold("w", events[:at])))
    for recorded in events[at:]:
        apply(view, recorded)
    assert plain(view) == plain(fold("w", events))


def test_values_beside_the_log_come_back_as_they_were() -> None:
    blob, raw = e.Blob("d", 70_000), msgspec.Raw
    changes = [
        e.StateChange("set", "large", blob=blob),
        e.StateChange("append", "large", raw(b"1")),
        e.StateChange("append", "large", blob=blob),
        e.StateChange("set", "small", raw(b'{"a":null}')),
        e.StateChange("set", "null"),
    ]
    told: list[e.Event] = [
        e.WorkflowCreated("wf", "d", input=raw(b'{"a":1}'), blobs={"b": blob}, tags={"t": "v"}),
        e.WorkflowStarted(),
        e.StateUpdated(changes),
        e.TaskStarted("s", 3, 1, "worker"),
        e.TaskCompleted("s", 3, 1, blob=blob),
        e.TaskStarted("s", 4, 1, "worker"),
        e.TaskFailed("s", 4, 1, e.Failure("ValueError", "no", bases=["Exception"])),
        e.WorkflowFailed(e.Failure("ValueError", "no"), "s", 4),
    ]
    view = fold("w", [e.Recorded(n, n, event, digest=f"{n}") for n, event in enumerate(told, 1)])
    again = decode_snapshot(encode_snapshot(view))
    assert plain(again) == plain(view)


def test_every_field_of_a_view_is_kept_or_is_its_readers() -> None:
    """A field that a view gets later must not be lost by way of a snapshot."""
    apart = {"input", "steps", "state", "result"}
    of_readers = {"touched", "new_jobs"}
    kept = set(snapshots._View.__struct_fields__)  # pyright: ignore[reportPrivateUsage]
    assert kept | apart | of_readers == set(WorkflowView.__struct_fields__)


def test_jobs_are_to_be_shown_anew() -> None:
    view = WorkflowView("w", version=1, digest="d")
    apply(view, e.Recorded(2, 2, e.JobRequested("s", 0, "j", 1, "n", e.JobSpec("image"))))
    view.new_jobs.clear()
    assert decode_snapshot(encode_snapshot(view)).new_jobs == ["j"]


@pytest.mark.parametrize(
    ("version", "last", "due"),
    [
        (1999, 0, False),
        (2000, 0, True),
        (3999, 2000, False),
        (4000, 2000, True),
        (45_000, 40_000, False),
        (50_000, 40_000, True),
    ],
)
def test_snapshots_become_fewer_as_a_log_grows(version: int, last: int, due: bool) -> None:
    assert is_due(version, last, 2000) is due


def test_no_snapshot_is_due_when_they_are_off() -> None:
    assert not is_due(1_000_000, 0, 0)
