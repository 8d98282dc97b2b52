"""The graph is checked when it is made."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core.definition import Definition, StepSpec, check, find_cycle
from agentainer_flow.core.errors import DefinitionError


def graph(**steps: tuple[str, ...]) -> Definition:
    return Definition("wf", tuple(StepSpec(name, needs) for name, needs in steps.items()))


def test_unknown_dependency_names_step_and_what_is_known() -> None:
    with pytest.raises(
        DefinitionError, match="workflow 'wf', step 'b': depends on unknown step 'c'; known: a, b"
    ):
        check(graph(a=(), b=("c",)))


def test_cycle_is_shown_as_a_path() -> None:
    with pytest.raises(DefinitionError, match="a -> c -> b -> a"):
        check(graph(a=("c",), b=("a",), c=("b",)))


def test_step_that_waits_for_itself_is_a_cycle() -> None:
    with pytest.raises(DefinitionError, match="a -> a"):
        check(graph(a=("a",)))


def test_duplicate_name_is_refused() -> None:
    with pytest.raises(DefinitionError, match="step 'a': a second step has this name"):
        check(Definition("wf", (StepSpec("a"), StepSpec("a"))))


def test_workflow_without_steps_is_refused() -> None:
    with pytest.raises(DefinitionError, match="has no steps"):
        check(Definition("wf", ()))


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a|b", "{a}", "-a", "ü", "a" * 101])
def test_name_that_cannot_be_part_of_a_key_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="a name is 1 to 100 letters"):
        check(Definition("wf", (StepSpec(name),)))


def test_digest_tells_definitions_apart() -> None:
    assert graph(a=()).digest == graph(a=()).digest
    assert graph(a=()).digest != graph(a=(), b=("a",)).digest


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40))
def test_edges_that_only_point_back_make_no_cycle(edges: list[tuple[int, int]]) -> None:
    dag = {str(node): tuple(str(b) for a, b in edges if a == node and b < a) for node in range(10)}

    assert find_cycle(dag) is None


@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=4)))
def test_found_cycle_is_one(edges: dict[int, list[int]]) -> None:
    names = {str(n): tuple(str(m) for m in edges.get(n, [])) for n in range(10)}

    cycle = find_cycle(names)

    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(after in names[before] for before, after in pairwise(cycle))
