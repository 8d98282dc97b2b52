"""What an engine keeps in memory is bounded by the events of the workflows."""

from __future__ import annotations

import pytest

from agentainer_flow.core.definition import Definition
from agentainer_flow.projections.workflow import WorkflowView
from agentainer_flow.reactors import held as module
from agentainer_flow.reactors.held import Held, Holdings


@pytest.fixture
def holdings(monkeypatch: pytest.MonkeyPatch) -> Holdings:
    monkeypatch.setattr(module, "MOST", 10)
    return Holdings()


def make(name: str, events: int) -> Held:
    return Held(WorkflowView(name, version=events), Definition("d", ()))


def names(holdings: Holdings) -> list[str]:
    return [held.view.id for held in holdings.all()]


def test_those_that_were_wanted_least_recently_go_first(holdings: Holdings) -> None:
    for name in "abc":
        holdings.add(make(name, 3))
    assert holdings.get("a")
    holdings.add(make("d", 3))
    assert names(holdings) == ["c", "a", "d"]


def test_what_has_grown_counts_as_it_is(holdings: Holdings) -> None:
    a = holdings.add(make("a", 1))
    holdings.add(make("b", 1))
    a.view.version = 10
    assert holdings.get("a")
    holdings.add(make("c", 1))
    assert names(holdings) == ["c"]


def test_what_is_worked_on_stays_and_so_does_what_comes(holdings: Holdings) -> None:
    a = holdings.add(make("a", 9))
    a.take_now()
    holdings.add(make("b", 50))
    assert names(holdings) == ["a", "b"]


def test_what_was_dropped_counts_no_more(holdings: Holdings) -> None:
    for _ in range(3):
        holdings.add(make("a", 8))
    holdings.drop("a")
    holdings.add(make("b", 5))
    holdings.add(make("c", 5))
    assert names(holdings) == ["b", "c"]
