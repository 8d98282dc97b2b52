"""What Redis keeps of one workflow beside its log, against what the log says at the same version.

A task is in exactly one place: ready, waiting for its retry, leased, or settled in the log.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from .steps import StepStory, TaskStory
from .story import Story

_READY = re.compile(r"\[(\d+),(\d+),")
_LEASE = re.compile(r"(\S+)/\S+ (\d+) ")


class Kept(msgspec.Struct):
    """The values of a workflow's keys, read at one moment; by step where there are several."""

    meta: dict[str, str] = {}
    ready: dict[str, list[str]] = {}
    leased: dict[str, dict[str, str]] = {}
    jobs: dict[str, dict[str, Any]] = {}
    timers: dict[str, str] = {}
    held_jobs: list[str] = []
    state: dict[str, Any] = {}
    document: dict[str, Any] | None = None
    steps: list[dict[str, Any]] = []
    step_jobs: dict[str, list[str]] = {}

    @property
    def is_imported(self) -> bool:
        """It is a record of a workflow that ran elsewhere: nothing here has anything of it."""
        return self.meta.get("lane") == "imported"

    @property
    def waiting(self) -> int:
        return sum(map(len, self.ready.values()))

    @property
    def running(self) -> int:
        return sum(map(len, self.leased.values()))

    def holders(self) -> Iterator[tuple[str, str]]:
        """(session, step) of each lease, and (session, "") of each job that a launcher has."""
        for step, leases in self.leased.items():
            for value in leases.values():
                if found := _LEASE.match(value):
                    yield found[1], step
        for job in self.jobs.values():
            if job.get("token"):
                yield job["token"].rpartition("/")[0], ""


def check_kept(story: Story, kept: Kept) -> None:
    """What is wrong goes to the story's notes."""
    _check_meta(story, kept)
    if story.ended or kept.is_imported:
        return
    for step in story.steps.all.values():
        _check_ready(story, kept, step)
        _check_leases(story, kept, step)
    unsettled = {job.id for job in story.jobs.unsettled}
    for name in sorted(unsettled ^ set(kept.jobs)):
        word = "lacks" if name in unsettled else "has"
        story.notes.say(0, 8, f"the list of unsettled jobs {word} {name}, which the log tells else")


def _check_meta(story: Story, kept: Kept) -> None:
    """What the scripts go by is what the log says."""
    expected = {
        "v": str(story.version),
        "dg": story.digest,
        "status": story.status,
        "running": str(story.steps.running),
    }
    for name, value in expected.items():
        if (got := kept.meta.get(name, "0")) != value:
            story.notes.say(0, 2, f"meta says {name} {got}, the log gives {value}")


def _check_ready(story: Story, kept: Kept, step: StepStory) -> None:
    ready = Counter(_ready(kept.ready.get(step.id, [])))
    retries = set(_retries(kept.timers, step.id))
    for (index, attempt), times in ready.items():
        task = step.tasks.get(index, TaskStory())
        if times > 1 or task.status != "ready" or task.attempt != attempt or index in retries:
            text = f"task {step.id}[{index}] is {times} times ready as attempt {attempt}"
            text += " and waits for its retry" if index in retries else ""
            text += f", by the log it is {task.status} in attempt {task.attempt}"
            story.notes.say(0, 4, text)
    waiting = {index for index, _ in ready} | retries
    for index in range(step.queued if step.is_open and story.status != "cancelling" else 0):
        if step.tasks.get(index, TaskStory()).status == "ready" and index not in waiting:
            story.notes.say(0, 6, f"task {step.id}[{index}] is due and waits nowhere")


def _ready(entries: list[str]) -> Iterator[tuple[int, int]]:
    """(index, attempt) of entries of the ready list."""
    for entry in entries:
        if found := _READY.match(entry):
            yield int(found[1]), int(found[2])


def _retries(timers: dict[str, str], step: str) -> Iterator[int]:
    """Indexes of tasks that wait for a retry."""
    for name in timers:
        kind, _, rest = name.partition("|")
        if kind == "retry" and rest.rpartition("|")[0] == step:
            yield int(rest.rpartition("|")[2])


def _check_leases(story: Story, kept: Kept, step: StepStory) -> None:
    held = {
        int(index): int(found[2])
        for index, value in kept.leased.get(step.id, {}).items()
        if (found := _LEASE.match(value))
    }
    told = {index: task.claim for index, task in step.tasks.items() if task.status == "running"}
    for index in sorted(set(held) | set(told)):
        if held.get(index) != told.get(index):
            text = f"the lease of task {step.id}[{index}] is by version {held.get(index)}"
            story.notes.say(0, 4, f"{text}, by the log it runs by {told.get(index)}")
