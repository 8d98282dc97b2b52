"""Several claimants share slots and memory, and who waits for much is not overtaken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.reactors.capacity import Capacity


def test_what_is_taken_is_free_no_more_until_it_is_given_back() -> None:
    capacity = Capacity(2, 8)

    capacity.take(memory_bytes=5)
    assert (capacity.free_slots(), capacity.free_memory()) == (1, 3)
    capacity.give(memory_bytes=5)
    assert (capacity.free_slots(), capacity.free_memory()) == (2, 8)


def test_memory_may_be_unlimited() -> None:
    capacity = Capacity(2)
    capacity.take(2, memory_bytes=1 << 40)
    capacity.wait("large", 1 << 40)

    assert (capacity.free_slots(), capacity.free_memory()) == (0, None)


def test_what_runs_already_counts_whatever_there_is_room_for() -> None:
    capacity = Capacity(1, 8)

    capacity.take(3, memory_bytes=20)
    assert (capacity.free_slots(), capacity.free_memory()) == (0, 0)
    capacity.give(2, memory_bytes=15)
    assert (capacity.free_slots(), capacity.free_memory()) == (0, 3)


def test_what_somebody_waits_for_is_kept_from_those_behind() -> None:
    capacity = Capacity(4, 8)
    capacity.take(memory_bytes=4)
    capacity.wait("first", 3)
    capacity.wait("second", 1)

    assert [capacity.free_memory(one) for one in ("first", "second", "third")] == [4, 1, 0]
    assert [capacity.free_slots(one) for one in ("first", "second", "third")] == [3, 2, 1]


def test_who_needs_something_else_keeps_the_place_in_line() -> None:
    capacity = Capacity(4, 8)
    capacity.wait("first", 8)
    capacity.wait("second", 2)
    capacity.wait("first", 5)

    assert [capacity.free_memory(one) for one in ("first", "second")] == [8, 3]


def test_who_listens_hears_when_something_becomes_free() -> None:
    capacity, heard = Capacity(1, 8), list[int]()
    capacity.listen(lambda: heard.append(capacity.free_slots()))

    capacity.take()
    assert heard == []
    capacity.give()
    assert heard == [1]


def test_who_leaves_the_line_frees_what_was_kept() -> None:
    capacity, heard = Capacity(2, 8), list[int | None]()
    capacity.listen(lambda: heard.append(capacity.free_memory("behind")))
    capacity.wait("large", 6)

    capacity.leave("large")
    capacity.leave("large")

    assert heard == [8]


@given(st.lists(st.tuples(st.sampled_from(["end", "b", "c"]), st.integers(1, 8)), max_size=30))
def test_nothing_starts_before_what_waits_longest(story: list[tuple[str, int]]) -> None:
    capacity, running = Capacity(10, 8), [2, 2, 2, 2]
    capacity.take(4, memory_bytes=8)
    capacity.wait("large", 8)
    for who, memory in story:
        if who != "end":
            assert capacity.free_memory(who) == 0
            capacity.wait(who, memory)
        elif running:
            capacity.give(memory_bytes=running.pop())
    assert capacity.free_memory("large") == 8 - sum(running)


def test_who_shares_leaves_some_for_others() -> None:
    capacity = Capacity(5)
    capacity.listen(lambda: None)
    assert capacity.reserve("only") == 5
    capacity.give(5)

    capacity.listen(lambda: None)
    assert [capacity.reserve(one) for one in "abc"] == [3, 1, 1]


def test_who_found_no_slot_has_the_next_turn() -> None:
    capacity = Capacity(1)
    capacity.listen(lambda: None)
    capacity.listen(lambda: None)
    turns = [capacity.reserve("busy")]
    for _ in range(3):
        turns += [capacity.reserve("other"), capacity.reserve("busy")]
        capacity.give()
        turns += [capacity.reserve("busy"), capacity.reserve("other")]
        capacity.give()
        turns.append(capacity.reserve("busy"))

    assert turns == [1, *([0, 0, 0, 1, 1] * 3)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=40))
def test_slots_are_never_promised_twice(story: list[tuple[str, int]]) -> None:
    capacity, held = Capacity(7), {"a": 0, "b": 0, "c": 0}
    for _ in held:
        capacity.listen(lambda: None)
    for who, ended in story:
        held[who] += capacity.reserve(who)
        assert sum(held.values()) <= 7
        given_back = min(ended, held[who])
        held[who] -= given_back
        capacity.give(given_back)
    for who in held:
        capacity.leave(who)
    assert capacity.free_slots() == 7 - sum(held.values())
