"""Schedulers that count alike come to shares that fit together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.reactors.share import share_of

NAMES = st.sets(st.text("abc@:1", min_size=1, max_size=5), min_size=1, max_size=20)


@given(NAMES, st.integers(1, 256))
def test_shares_add_up_and_differ_by_one_at_most(names: set[str], partitions: int) -> None:
    shares = [share_of(name, names, partitions) for name in names]

    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1
    assert max(shares) == -(-partitions // len(names))


def test_who_is_alone_has_all() -> None:
    assert share_of("a", {"a"}, 4) == 4


def test_of_more_schedulers_than_lanes_some_stand_by() -> None:
    names = {"a", "b", "c"}
    assert [share_of(name, names, 2) for name in "abc"] == [1, 1, 0]
