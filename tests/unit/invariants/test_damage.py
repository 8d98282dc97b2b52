"""A log as it should be passes; each kind of damage is found and named with its invariant."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agentainer_flow.projections.invariants import Violation, check_log

from .maker import Maker, Told, graph, render

chances = st.builds(Random, st.integers(0, 10**9))
#: Not every log has what a damage needs, and a busy machine is no failure.
patient = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.filter_too_much]
)
Damage = Callable[[list[Told], Random], list[Told]]


def check(log: list[Told], **limits: int) -> list[Violation]:
    return check_log("w", render(log), graph(**limits))


@patient
@given(chances)
def test_a_log_as_it_should_be_passes(chance: Random) -> None:
    assert check(Maker(chance).make()) == []


@patient
@given(chances)
def test_every_beginning_of_such_a_log_passes(chance: Random) -> None:
    log = Maker(chance).make()
    assert check(log[: chance.randint(1, len(log))]) == []


def pick(log: list[Told], chance: Random, *kinds: str, **data: Any) -> int:
    """The position of an event of these kinds that has these data."""
    found = [
        position
        for position, told in enumerate(log)
        if told.type in kinds and all(told.data.get(name) == data[name] for name in data)
    ]
    assume(found)
    return chance.choice(found)


def second_end(log: list[Told], chance: Random) -> list[Told]:
    end = chance.choice(["workflow.completed", "workflow.failed", "workflow.cancelled"])
    return [*log, Told(end, {}, log[-1].ts)]


def event_after_the_end(log: list[Told], chance: Random) -> list[Told]:
    return [*log, Told("state.updated", {"changes": []}, log[-1].ts)]


def settled_twice(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.completed", "task.failed", "task.lost")
    return [*log[: position + 1], copy.copy(log[position]), *log[position + 1 :]]


def never_settled(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.completed", "task.cancelled")
    return log[:position] + log[position + 1 :]


def settled_by_another_claim(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.completed", "task.lost")
    changed = copy.copy(log[position])
    changed.cause = log[0]
    return [*log[:position], changed, *log[position + 1 :]]


def started_twice(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.started")
    return [*log[: position + 1], copy.copy(log[position]), *log[position + 1 :]]


def started_in_another_attempt(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.started")
    changed = copy.deepcopy(log[position])
    changed.data["attempt"] += 1
    return [*log[:position], changed, *log[position + 1 :]]


def started_before_it_was_due(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.retried")
    place = {"index": log[position].data["index"], "attempt": log[position].data["attempt"]}
    assume(any(t.type == "task.started" and t.data | place == t.data for t in log[position:]))
    changed = copy.deepcopy(log[position])
    changed.data["delay_ms"] = 10**6
    return [*log[:position], changed, *log[position + 1 :]]


def tried_again_without_failing(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.started")
    data = {**log[position].data, "attempt": log[position].data["attempt"] + 1, "delay_ms": 0}
    retried = Told("task.retried", data, log[position].ts)
    return [*log[: position + 1], retried, *log[position + 1 :]]


def fan_in_too_early(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "step.completed")
    last = max(n for n in range(position) if log[n].type == "task.completed")
    return [*log[:last], log[position], *log[last:position], *log[position + 1 :]]


def fan_in_twice(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "step.completed")
    return [*log[: position + 1], copy.copy(log[position]), *log[position + 1 :]]


def scheduled_too_early(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "step.completed", step="fan")
    after = pick(log, chance, "step.scheduled", step="sum")
    return [
        *log[:position],
        log[after],
        log[position],
        *log[position + 1 : after],
        *log[after + 1 :],
    ]


def scheduled_twice(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "step.scheduled")
    return [*log[: position + 1], copy.copy(log[position]), *log[position + 1 :]]


def never_queued(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "tasks.queued")
    index = log[position].data["first"]
    assume(any(t.type == "task.started" and t.data["index"] >= index for t in log))
    return log[:position] + log[position + 1 :]


def other_result(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "workflow.completed")
    changed = Told("workflow.completed", {"result": 11}, log[position].ts)
    return [*log[:position], changed]


def started_in_a_pause(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.started")
    paused = Told("workflow.paused", {}, log[position].ts)
    resumed = Told("workflow.resumed", {}, log[position].ts)
    return [*log[:position], paused, log[position], resumed, *log[position + 1 :]]


def started_after_a_cancellation(log: list[Told], chance: Random) -> list[Told]:
    cancelled = pick(log, chance, "workflow.cancel_requested")
    started = pick(log[:cancelled], chance, "task.started")
    moved = [told for n, told in enumerate(log) if n != cancelled]
    return [*moved[:started], log[cancelled], *moved[started:]]


def launched_again(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "job.launched")
    again = copy.deepcopy(log[position])
    again.data["adopted"] = chance.random() < 0.5
    again.data["container"] += "-another"
    return [*log[: position + 1], again, *log[position + 1 :]]


def launched_anew(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "job.launched")
    again = copy.deepcopy(log[position])
    again.data["adopted"] = False
    return [*log[: position + 1], again, *log[position + 1 :]]


def job_settled_twice(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "job.succeeded", "job.cancelled")
    return [*log[: position + 1], copy.copy(log[position]), *log[position + 1 :]]


def job_never_settled(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "job.succeeded", "job.cancelled")
    job = log[position].data["job"]
    assume(not any(told.data.get("job") == job for told in log[position + 1 :]))
    return log[:position] + log[position + 1 :]


def job_that_nobody_asked_for(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "job.launched")
    return [t for t in log if t.data.get("job") != log[position].data["job"] or t is log[position]]


def job_that_outlives_its_task(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "job.stop_requested")
    return log[:position] + log[position + 1 :]


def lost_update(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "state.updated")
    changed = copy.deepcopy(log[position])
    changed.data["changes"][0]["value"] += 1
    return [*log[:position], changed, *log[position + 1 :]]


def effect_without_a_claim(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "task.completed")
    place = {name: log[position].data[name] for name in ("step", "index")}
    effect = Told("effect.recorded", {**place, "name": "x", "value": 1}, log[position].ts)
    return [*log[: position + 1], effect, *log[position + 1 :]]


def paused_twice(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "workflow.paused")
    return [*log[: position + 1], copy.copy(log[position]), *log[position + 1 :]]


def ended_too_early(log: list[Told], chance: Random) -> list[Told]:
    position = pick(log, chance, "step.completed")
    return [*log[:position], log[-1]]


DAMAGES: list[tuple[Damage, int]] = [
    (lost_update, 2),
    (second_end, 3),
    (event_after_the_end, 3),
    (paused_twice, 3),
    (settled_twice, 4),
    (never_settled, 4),
    (settled_by_another_claim, 4),
    (started_twice, 4),
    (started_in_another_attempt, 4),
    (started_before_it_was_due, 4),
    (tried_again_without_failing, 4),
    (fan_in_too_early, 4),
    (fan_in_twice, 4),
    (scheduled_too_early, 4),
    (scheduled_twice, 4),
    (never_queued, 4),
    (other_result, 4),
    (effect_without_a_claim, 4),
    (ended_too_early, 4),
    (started_in_a_pause, 7),
    (started_after_a_cancellation, 7),
    (launched_again, 8),
    (launched_anew, 8),
    (job_settled_twice, 8),
    (job_never_settled, 8),
    (job_that_nobody_asked_for, 8),
    (job_that_outlives_its_task, 8),
]


@pytest.mark.parametrize(("damage", "invariant"), DAMAGES, ids=lambda x: getattr(x, "__name__", ""))
@patient
@given(chances)
def test_damage_is_found_and_named(damage: Damage, invariant: int, chance: Random) -> None:
    log = damage(Maker(chance).make(), chance)
    assert invariant in {violation.invariant for violation in check(log)}


@patient
@given(chances)
def test_more_running_than_may_is_found(chance: Random) -> None:
    log = Maker(chance, planned="completed").make()
    running = most = 0
    for told in log:
        running += (told.type == "task.started") - (
            told.type in ("task.completed", "task.failed", "task.lost")
        )
        most = max(most, running)
    assume(most > 1)
    for limit in ("max_workers", "max_parallel"):
        assert {violation.invariant for violation in check(log, **{limit: most - 1})} == {5}
        assert check(log, **{limit: most}) == []


@patient
@given(chances)
def test_a_gap_is_found_where_it_is(chance: Random) -> None:
    raw = render(Maker(chance).make())
    gone = chance.randrange(len(raw) - 1)
    found = check_log("w", raw[:gone] + raw[gone + 1 :], graph())
    assert Violation("w", gone + 1, 1, f"after {gone} the next entry is {gone + 2}-0") in found


@patient
@given(chances, st.sampled_from([b"type", b"data"]))
def test_an_altered_entry_is_found_where_it_is(chance: Random, field: bytes) -> None:
    raw = render(Maker(chance).make())
    altered = chance.randrange(len(raw))
    name, fields = raw[altered]
    raw[altered] = (name, {**fields, field: fields[field] + b" "})
    found = check_log("w", raw, graph())
    assert [one.version for one in found if one.invariant == 11] == [altered + 1]


@patient
@given(chances)
def test_an_entry_that_was_put_in_place_of_another_breaks_the_chain_once(chance: Random) -> None:
    raw = render(Maker(chance).make())
    altered = chance.randrange(len(raw))
    name, fields = raw[altered]
    raw[altered] = (name, {**fields, b"dg": b"0" * 16})
    versions = [one.version for one in check_log("w", raw, graph()) if one.invariant == 11]
    assert versions == [altered + 1, altered + 2][: len(raw) - altered]
