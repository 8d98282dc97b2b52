"""Several partitions are seen as one installation."""

from __future__ import annotations

from typing import Any

from agentainer_flow.sdk.facts import LaneFacts, Member, PartitionFacts, Unread
from agentainer_flow.sdk.overview import gather


def member(session: str, **more: Any) -> Member:
    given: dict[str, Any] = {"claimed": 0, "lease_left_s": 3.0, **more}
    return Member(session, "worker", "h", 1, "shared", 2, ["orders"], **given)


def partition(number: int, *members: Member, **more: Any) -> PartitionFacts:
    return PartitionFacts(LaneFacts(number, "", None, Unread(0, 0, ""), 0), list(members), **more)


def test_a_process_has_one_row_with_what_it_has_in_all_partitions() -> None:
    first = member("a", claimed=1, owns_lanes=[0]), member("b", claimed=4)
    second = member("a", claimed=2, lease_left_s=1.0, owns_lanes=[1]), member("c")
    facts = gather([partition(0, *first), partition(1, *second)], [])
    assert facts.members == [
        member("a", claimed=3, lease_left_s=1.0, owns_lanes=[0, 1]),
        member("b", claimed=4),
        member("c"),
    ]


def test_numbers_add_up_and_the_latest_timer_counts() -> None:
    parts = [
        partition(0, active=2, paused=["w1"], jobs_waiting=1, timers_due=1, timer_late_s=2.0),
        partition(1, active=3, paused=["w2"], jobs_waiting=4, timers_due=2, timer_late_s=9.0),
    ]
    facts = gather(parts, [])
    assert [lane.partition for lane in facts.lanes] == [0, 1]
    assert (facts.active, facts.paused, facts.jobs_waiting) == (5, ["w1", "w2"], 5)
    assert (facts.timers_due, facts.timer_late_s) == (3, 9.0)
