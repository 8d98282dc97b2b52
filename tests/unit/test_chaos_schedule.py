"""What a chaos run does follows from its seed and from nothing else."""

from __future__ import annotations

import subprocess
import sys

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.schedule import FLOWS, WEIGHTS, Wanted, make_schedule, process_names

WANTED = Wanted(60, 5)

seeds = st.integers(0, 10**6)


@given(seeds)
def test_the_same_seed_gives_the_same_schedule(seed: int) -> None:
    assert make_schedule(seed, WANTED) == make_schedule(seed, WANTED)


def test_another_process_makes_the_same_schedule() -> None:
    code = (
        "import sys, msgspec; from tests.chaos.schedule import *; "
        "sys.stdout.buffer.write(msgspec.json.encode(make_schedule(7, Wanted(60, 5))))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert told.stdout == msgspec.json.encode(make_schedule(7, WANTED))


def test_another_seed_gives_another_schedule() -> None:
    one, other = make_schedule(1, WANTED), make_schedule(2, WANTED)
    assert one.faults != other.faults
    assert one.starts != other.starts


@given(seeds)
def test_workflows_are_the_same_with_other_faults(seed: int) -> None:
    with_docker = make_schedule(seed, msgspec.structs.replace(WANTED, docker=True))
    assert make_schedule(seed, WANTED).starts == with_docker.starts


@given(seeds)
def test_everything_is_in_order_and_within_the_run(seed: int) -> None:
    schedule = make_schedule(seed, WANTED)
    faults = [one.at_s for one in schedule.faults]
    starts = [one.at_s for one in schedule.starts]
    commands = [one.at_s for one in schedule.commands]
    assert [faults, starts, commands] == [sorted(faults), sorted(starts), sorted(commands)]
    assert all(0 <= at_s < WANTED.seconds for at_s in [*faults, *starts])


@given(seeds)
def test_faults_come_about_as_often_as_they_are_wanted(seed: int) -> None:
    assert 60 < len(make_schedule(seed, WANTED).faults) < 200


@given(seeds)
def test_who_is_frozen_or_cut_off_is_so_for_longer_than_the_lease(seed: int) -> None:
    faults = make_schedule(seed, WANTED).faults
    lasting = [one for one in faults if one.kind in ("freeze", "partition")]
    assert all(one.for_s > WANTED.lease for one in lasting)


@given(seeds)
def test_every_pause_ends(seed: int) -> None:
    commands = make_schedule(seed, WANTED).commands
    paused = {one.number: one.at_s for one in commands if one.verb == "pause"}
    resumed = {one.number: one.at_s for one in commands if one.verb == "resume"}
    assert paused.keys() == resumed.keys()
    assert all(at_s < resumed[number] for number, at_s in paused.items())


def test_a_long_schedule_has_everything() -> None:
    schedule = make_schedule(1, msgspec.structs.replace(WANTED, seconds=3600, docker=True))
    assert {one.kind for one in schedule.faults} == set(WEIGHTS)
    assert {one.target for one in schedule.faults} == {"", *process_names()}
    assert {one.flow for one in schedule.starts} == set(FLOWS)
    assert {one.verb for one in schedule.commands} == {"pause", "resume", "cancel"}


def test_without_docker_no_daemon_is_killed() -> None:
    schedule = make_schedule(1, msgspec.structs.replace(WANTED, seconds=3600))
    assert "dockerd" not in {one.kind for one in schedule.faults}
