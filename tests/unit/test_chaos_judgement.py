"""How a chaos run is judged: recoveries, outcomes, and whether it met what it is for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from agentainer_flow.projections.invariants import Entry
from tests.chaos.flows import expected
from tests.chaos.journal import Hit, Journal, Span, Told
from tests.chaos.presence import common
from tests.chaos.recovery import Ways, covered, recoveries
from tests.chaos.schedule import Start
from tests.chaos.sightings import complaints, missing, sightings
from tests.chaos.throughput import Throughput, throughput
from tests.chaos.verdict import judge_workflows

WORKER, LAUNCHER = "worker@h:7:a", "launcher@h:8:b"


def entry(version: int, kind: str, ts: int, by: str = "", **data: Any) -> Entry:
    return Entry(version, kind, data, ts, by)


def task(version: int, kind: str, ts: int, worker: str = WORKER) -> Entry:
    return entry(version, kind, ts, worker, step="a", index=0, attempt=1, worker=worker)


def times(log: list[Entry], *hits: Hit, away: dict[str, list[Span]] | None = None) -> list[Any]:
    """(what, raw, net) of the recoveries in one log."""
    found = recoveries({"w": log}, {"w": 0}, Journal(list(hits)), Ways(away or {}))
    return [(one.what, one.again_ms - one.fault_ms, one.net_ms) for one in found]


LOST = [task(1, "task.started", 100), task(2, "task.lost", 600), task(3, "task.started", 700, "w2")]


def test_a_task_recovers_from_the_fault_of_its_worker_to_its_next_start() -> None:
    assert times(LOST, Hit("kill", 200.0, "worker-1", 7)) == [("task", 500, 500)]


def test_time_in_which_nobody_could_go_on_is_taken_off() -> None:
    away = {"redis": [Span(150, 300)], "worker": [Span(250, 350)], "launcher": [Span(0, 9999)]}
    assert times(LOST, Hit("kill", 200.0, "worker-1", 7), away=away) == [("task", 500, 350)]


def test_of_several_faults_the_last_before_the_loss_counts() -> None:
    hits = [Hit("freeze", 150.0, "worker-1", 7), Hit("kill", 300.0, "worker-1", 7)]
    assert times(LOST, *hits) == [("task", 400, 400)]


@pytest.mark.parametrize(
    "hit",
    [
        Hit("kill", 200.0, "worker-2", 9),
        Hit("cut", 200.0, "worker-1", 7),
        Hit("freeze", 50.0, "worker-1", 7, until_ms=90.0),
    ],
    ids=["of another", "cut", "over before"],
)
def test_a_task_that_no_fault_took_was_taken_from_one_that_may_live(hit: Hit) -> None:
    assert times(LOST, hit) == [("unhit", 100, 100)]


def test_a_fault_that_lasts_when_a_task_begins_takes_it() -> None:
    hit = Hit("freeze", 90.0, "worker-1", 7, until_ms=150.0)
    assert times(LOST, hit) == [("task", 610, 610)]


def test_a_task_that_waits_for_the_end_of_a_pause_is_left_out() -> None:
    log = [*LOST[:2], entry(3, "workflow.paused", 620), task(4, "task.started", 900)]
    assert times(log, Hit("kill", 200.0, "worker-1", 7)) == []


def test_a_task_that_is_lost_in_a_pause_is_left_out() -> None:
    paused = entry(1, "workflow.paused", 90)
    log = [paused, *LOST[:2], entry(4, "workflow.resumed", 620), task(5, "task.started", 900)]
    assert times(log, Hit("kill", 200.0, "worker-1", 7)) == []


ADOPTED = [
    entry(1, "job.launched", 100, LAUNCHER, job="j"),
    entry(2, "job.launched", 900, "launcher@h:9:c", job="j", adopted=True),
]


def test_an_agent_recovers_with_its_adoption() -> None:
    assert times(ADOPTED, Hit("kill", 300.0, "launcher-1", 8)) == [("agent", 600, 600)]


@pytest.mark.parametrize(
    ("claimed", "took"),
    [([("w", "j")], 400), ([("w", "other"), ("other", "j")], 600)],
    ids=["it", "others"],
)
def test_an_agent_whose_next_launcher_is_hit_recovers_from_that(
    claimed: list[tuple[str, str]], took: int
) -> None:
    hits = [
        Hit("kill", 300.0, "launcher-1", 8, claimed=[("w", "j")]),
        Hit("freeze", 500.0, "up-1", 6, claimed=claimed),
    ]
    assert times(ADOPTED, *hits) == [("agent", took, took)]


def test_nobody_adopts_an_agent_while_docker_is_away() -> None:
    hit = Hit("kill", 300.0, "launcher-1", 8)
    away = {"docker": [Span(600, 850)]}
    assert times(ADOPTED, hit, away=away) == [("agent", 600, 350)]
    assert times(LOST, Hit("kill", 200.0, "worker-1", 7), away=away) == [("task", 500, 500)]


def test_a_lane_recovers_with_the_next_commit_that_was_not_on_its_way() -> None:
    log = [entry(1, "step.scheduled", 230, "engine"), entry(2, "step.completed", 800, "engine")]
    hit = Hit("kill", 200.0, "reactors-1", 5, owned=[0])
    assert times(log, hit) == [("lane", 600, 600)]


def test_a_lane_whose_successor_is_hit_recovers_from_that_one() -> None:
    log = [entry(1, "step.completed", 800, "engine")]
    hits = [
        Hit("kill", 200.0, "reactors-1", 5, owned=[0]),
        Hit("freeze", 500.0, "up-1", 6, owned=[0]),
    ]
    assert times(log, *hits) == [("lane", 300, 300)]


def test_each_moment_is_covered_once() -> None:
    assert covered([Span(0, 10), Span(5, 20), Span(30, 99)], 8, 40) == 12 + 10


def test_a_role_is_away_while_all_of_its_processes_are() -> None:
    one, other = [Span(0, 10), Span(8, 20)], [Span(5, 12), Span(15, 30)]
    assert common([one, other]) == [Span(5, 12), Span(15, 20)]
    assert common([one, []]) == []


START = Start(0.0, 1, "Narrow", 2)


def problems(log: list[Entry], *told: Told, start: Start = START) -> list[str]:
    journal = Journal(started={1: "w"}, told=list(told))
    return judge_workflows([start], {"w": log}, journal).problems


def completed(result: object) -> list[Entry]:
    return [entry(1, "workflow.completed", 1, result=result)]


def test_a_workflow_has_to_end_with_its_result() -> None:
    assert problems(completed(expected("Narrow", 2))) == []
    assert "its result is [0] and not [0, 1]" in problems(completed([0]))[0]
    assert "it has not ended" in problems([entry(1, "workflow.started", 1)])[0]


def test_what_was_acknowledged_has_to_be_there() -> None:
    assert judge_workflows([START], {}, Journal()).problems == ["workflow 1 was never acknowledged"]
    assert "has no log" in problems([])[0]
    told = Told(0.0, "pause", "w", "done")
    assert problems(completed([0, 1]), told) == [
        "workflow w: 1 times pause was acknowledged, the log has 0"
    ]


def test_only_what_was_cancelled_may_be_cancelled() -> None:
    log = [entry(1, "workflow.cancel_requested", 1), entry(2, "workflow.cancelled", 2)]
    assert problems(log, Told(0.0, "cancel", "w", "done")) == []
    assert "nobody was told so" in problems(log)[0]


def test_only_what_is_planned_to_fail_may_fail_unless_it_counts_as_poison() -> None:
    def failed(cause: str) -> list[Entry]:
        return [entry(1, "workflow.failed", 1, error={"type": cause, "message": "no"})]

    assert problems(failed("ValueError"), start=Start(0.0, 1, "Doomed", 1)) == []
    assert problems(failed("Poison")) == []
    assert "it failed by ValueError: no" in problems(failed("ValueError"))[0]


def test_a_run_that_never_met_what_it_is_for_is_told_so() -> None:
    seen = sightings({"w": LOST}, Journal(), [Counter({"commits fenced": 1})], ["redis.away"])
    assert (seen["tasks lost"], seen["commits fenced"], seen["Redis missed"]) == (1, 1, 1)
    assert "tasks lost" not in missing(seen, 600, 5)
    assert "pauses" in missing(seen, 600, 5)
    assert missing(seen, 10, 5) == []


def test_a_traceback_is_told_with_its_last_line() -> None:
    text = "ready\nTraceback (most recent call last):\n  File x\nValueError: no\nmore"
    assert complaints("worker-1", text) == [
        "worker-1 said 'Traceback (most recent call last)': ValueError: no"
    ]
    assert complaints("worker-1", "ready") == []


def test_throughput_is_read_off_the_logs() -> None:
    log = [entry(n, "task.completed", 100 * n) for n in range(1, 31)]
    assert throughput({"w": log}, 0, 2000, 4000) == Throughput(9.5, 5.5)
