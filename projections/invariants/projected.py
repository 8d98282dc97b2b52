"""The documents of one workflow against its log at the version that they reflect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .entries import Entry
from .kept import Kept
from .steps import StepStory
from .story import Story
from .violation import Notes


def check_projections(story: Story, entries: Iterable[Entry], kept: Kept) -> None:
    """The state never lags the log; documents may, as long as the workflow goes on."""
    _check_state(story, kept.state)
    if kept.document is None:
        if story.ended:
            story.notes.say(0, 2, "it has ended and has no document")
        return
    version = int(kept.document.get("version", 0))
    if version > story.version or (story.ended and version != story.version):
        text = f"the document is of version {version}, the log has {story.version}"
        story.notes.say(0, 2, text)
        return
    then = story
    if version < story.version:
        then = Story(Notes(), story.graph).tell(one for one in entries if one.version <= version)
    _check_document(story.notes, then, kept)


def _check_state(story: Story, state: dict[str, Any]) -> None:
    if story.ended and not state:
        return  # its time is over
    told, unknown = story.state.values, story.state.unknown
    for key in sorted((set(told) | set(state)) - unknown):
        if told.get(key) != state.get(key) or (key in told) != (key in state):
            text = f"state {key!r} is {_short(state.get(key))}, the log gives"
            story.notes.say(0, 2, f"{text} {_short(told.get(key))}")


def _check_document(notes: Notes, then: Story, kept: Kept) -> None:
    document = kept.document or {}
    at = f"at version {then.version}"
    if (got := document.get("status")) != then.status:
        notes.say(then.version, 2, f"the document says {got} {at}, the log gives {then.status}")
    steps = document.get("steps", [])
    for shown in steps:
        _check_step(notes, then.steps.all.get(shown["id"], StepStory(shown["id"])), shown, at)
    if kept.steps != steps:
        notes.say(then.version, 2, "the list of steps is not that of the document")
    for step in {job.step for job in then.jobs.all.values()}:
        told = {job.id for job in then.jobs.all.values() if job.step == step}
        if told != set(kept.step_jobs.get(step, [])):
            notes.say(then.version, 2, f"the set of jobs of step {step} is not that of the log")


def _check_step(notes: Notes, step: StepStory, shown: dict[str, Any], at: str) -> None:
    status = "running" if step.is_open and step.begun else step.status
    told = {
        "total": step.total,
        "running": step.running,
        "completed": step.completed,
        "failed": step.failed,
    }
    if shown.get("status") != status:
        text = f"step {step.id} is shown as {shown.get('status')} {at}, the log gives {status}"
        notes.say(0, 2, text)
    if shown.get("tasks") != told:
        text = f"the tasks of step {step.id} are shown as {shown.get('tasks')} {at}"
        notes.say(0, 2, f"{text}, the log gives {told}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
