"""What workflows share in Redis against what each has: counters, sessions, lanes, listings.

Reading it all is not one moment, so what moves meanwhile may seem wrong: whoever asks looks again
and takes what is said in the same words each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from zlib import crc32

import msgspec

from .graph import Graph
from .kept import Kept
from .story import Story
from .violation import KEYS, Violation

#: A workflow's story and what Redis keeps of it, by id.
All = Mapping[str, tuple[Story, Kept]]


class Lane(msgspec.Struct):
    """The keys of one lane. Its jobs are `<workflow> <job>`, its timers `<workflow>|<name>`."""

    timers: set[str] = set()
    ring: set[str] = set()
    jobs: set[str] = set()
    #: Workflows of which its engine has news to read.
    unread: set[str] = set()


class Partition(msgspec.Struct):
    """The keys of one partition."""

    number: int = 0
    lanes: dict[str, Lane] = {}
    sessions: set[str] = set()
    #: What sessions hold by their own count: session -> `<workflow>|<step>` -> number.
    holdings: dict[str, dict[str, int]] = {}
    #: Sessions that have a last claim, and that say something of themselves.
    claims: set[str] = set()
    about: set[str] = set()
    active: set[str] = set()
    listed: set[str] = set()
    by_status: dict[str, set[str]] = {}
    #: Name -> workflows, and `<key>:<value>` of a tag -> workflows.
    by_name: dict[str, set[str]] = {}
    by_tag: dict[str, set[str]] = {}
    orphans: set[str] = set()


class Counters(msgspec.Struct):
    """What is counted over all workflows, and what there is to count, read at one moment."""

    running: dict[str, int] = {}
    waiting: dict[str, int] = {}
    #: (workflow, step) -> leases and ready tasks.
    there: dict[tuple[str, str], tuple[int, int]] = {}


class Shared(msgspec.Struct):
    """The keys of all partitions, and those of none."""

    partitions: list[Partition] = []
    #: None when workflows came and went too fast.
    counters: Counters | None = None
    #: Limit -> `<partition>|<workflow>`.
    blocked: dict[str, set[str]] = {}


def check_shared(shared: Shared, workflows: All) -> list[Violation]:
    """All workflows that there are have to be given."""
    graphs = {name: story.graph for name, (story, _) in workflows.items()}
    found = [*check_counters(shared.counters, graphs)] if shared.counters else []
    found += _homes(shared, workflows)
    for partition in shared.partitions:
        mine = {name: workflows[name] for name in sorted(partition.listed & set(workflows))}
        open_ones = {name: one for name, one in mine.items() if not _is_at_rest(*one)}
        found += _sessions(partition, open_ones)
        found += _listings(partition, mine)
        found += _lanes(partition, open_ones)
        for name, (story, kept) in open_ones.items():
            found += _goes_on(name, story, kept, partition, shared.blocked)
    return sorted(found)


def check_counters(counters: Counters, graphs: Mapping[str, Graph]) -> Iterator[Violation]:
    running: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for (workflow, name), (leases, ready) in counters.there.items():
        step = graphs[workflow].step(name)
        running[f"queue:{step.queue}"] += leases
        running["queue:*"] += leases
        if step.concurrency:
            running[f"key:{step.concurrency.key}"] += leases
        waiting[step.queue] += ready
    yield from _differences("running", counters.running, running)
    yield from _differences("waiting", counters.waiting, waiting)


def _homes(shared: Shared, workflows: All) -> Iterator[Violation]:
    """A workflow is in the partition that its id says: elsewhere nobody would look for it."""
    listed = {one.number: one.listed for one in shared.partitions}
    for name in sorted(workflows):
        home = crc32(name.encode()) % max(1, len(listed))
        places = sorted(number for number, names in listed.items() if name in names)
        if places != [home]:
            text = f"it belongs to partition {home} and is listed in {_places(places)}"
            yield Violation(name, 0, 2, text)


def _is_at_rest(story: Story, kept: Kept) -> bool:
    """Nothing is to move it any more."""
    return story.ended or kept.is_imported


def _places(numbers: list[int]) -> str:
    return " and ".join(map(str, numbers)) or "none"


def _differences(
    what: str, counted: Mapping[str, int], there: Mapping[str, int]
) -> Iterator[Violation]:
    for name in sorted(set(counted) | set(there)):
        if more := counted.get(name, 0) - there.get(name, 0):
            yield Violation("", 0, 5, f"{what} tasks of {name} are counted {more:+d} wrong")


def _sessions(partition: Partition, workflows: All) -> Iterator[Violation]:
    held: dict[str, Counter[str]] = {}
    for name, (_, kept) in workflows.items():
        for session, step in kept.holders():
            held.setdefault(session, Counter())[f"{name}|{step}"] += 1
    for session in sorted(set(held) - partition.sessions):
        text = f"session {session} is not listed and holds {held[session].total()} tasks or jobs"
        yield Violation("", 0, 6, f"{text}: nobody would take them back")
    for session in sorted(set(partition.holdings) - partition.sessions):
        yield Violation("", 0, KEYS, f"session {session} is not listed and still has holdings")
    for session in sorted((partition.claims | partition.about) - partition.sessions):
        yield Violation("", 0, KEYS, f"session {session} is not listed and still has a claim")
    for session, counted in sorted(partition.holdings.items()):
        there = held.get(session, Counter())
        for place in sorted(set(counted) | set(there)):
            if more := counted.get(place, 0) - there[place]:
                text = f"{session} counts {more:+d} wrong what it has of {place}"
                yield Violation("", 0, 4, text)


def _listings(partition: Partition, workflows: All) -> Iterator[Violation]:
    for name, (story, kept) in workflows.items():
        if (at_rest := _is_at_rest(story, kept)) == (name in partition.active):
            word = "ended and is" if at_rest else "not ended and is not"
            yield Violation(name, 0, 2, f"it has {word} listed as active")
        listed = sorted(status for status, names in partition.by_status.items() if name in names)
        if listed != [expected := kept.meta.get("doc_status", "")]:
            text = f"it is listed as {' and '.join(listed) or 'nothing'}"
            yield Violation(name, 0, 2, f"{text}, its document is {expected}")
        tags = {f"{key}:{value}" for key, value in story.tags.items()}
        yield from _listed(name, "under name", partition.by_name, {story.name})
        yield from _listed(name, "under tag", partition.by_tag, tags)


def _listed(
    workflow: str, where: str, listings: Mapping[str, set[str]], expected: set[str]
) -> Iterator[Violation]:
    """It is listed under what its first event says, and nothing else."""
    there = {word for word, names in listings.items() if workflow in names}
    for word in sorted(there ^ expected):
        text = f"it is {'not ' if word in expected else ''}listed {where} {word}"
        yield Violation(workflow, 0, 2, text)


def _lanes(partition: Partition, open_ones: All) -> Iterator[Violation]:
    """Lanes know of nothing that has ended."""
    for lane in partition.lanes.values():
        entries = [
            *((name.partition("|")[0], "a timer") for name in lane.timers),
            *((name, "a place in a ring") for name in lane.ring),
            *((name.partition(" ")[0], "a job to launch") for name in lane.jobs),
        ]
        for name, what in sorted(set(entries)):
            if name not in open_ones:
                yield Violation(name, 0, KEYS, f"it has ended, and still has {what}")
    for entry in sorted(partition.orphans):
        workflow, _, job = entry.partition(" ")
        if workflow not in open_ones or job not in open_ones[workflow][1].jobs:
            yield Violation(workflow, 0, KEYS, f"job {job} is settled and waits for a launcher")


def _goes_on(
    name: str, story: Story, kept: Kept, partition: Partition, blocked: Mapping[str, set[str]]
) -> Iterator[Violation]:
    """A workflow that has not ended has what it goes on with, where somebody will find it."""
    lane = partition.lanes.get(kept.meta.get("lane", ""), Lane())
    if story.status == "paused" or name in lane.unread:
        return
    is_due = kept.waiting and story.status == "running"
    if not (is_due or kept.running or kept.jobs or kept.timers):
        yield Violation(name, story.version, 6, f"it is {story.status} and nothing of it is due")
    for timer in sorted(kept.timers):
        if f"{name}|{timer}" not in lane.timers:
            yield Violation(name, 0, 6, f"timer {timer} is set and in no clock's list")
    for job, record in sorted(kept.jobs.items()):
        entry = f"{name} {job}"
        if not record.get("token") and entry not in lane.jobs and entry not in kept.held_jobs:
            yield Violation(name, 0, 6, f"job {job} has no launcher and is offered to none")
    entry = f"{partition.number}|{name}"
    has_turn = name in lane.ring or any(entry in names for names in blocked.values())
    if is_due and not kept.running and not has_turn:
        yield Violation(name, 0, 6, f"{kept.waiting} tasks are ready and have no turn")
