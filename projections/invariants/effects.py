"""What tasks really did, noted by their bodies outside of Redis, against what their logs say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from .story import Story
from .violation import Violation

#: (workflow, step, index, attempt): once per run of the body.
Effect = tuple[str, str, int, int]


def read_effects(lines: Iterable[str]) -> Counter[Effect]:
    """Lines of `workflow step index attempt`."""
    found: Counter[Effect] = Counter()
    for line in lines:
        workflow, step, index, attempt = line.split()
        found[(workflow, step, int(index), int(attempt))] += 1
    return found


def check_effects(stories: Mapping[str, Story], effects: Counter[Effect]) -> list[Violation]:
    """Each run of a body has its own `task.started`; each result comes from a run."""
    return sorted([*_too_many(stories, effects), *_never(stories, effects)])


def _too_many(stories: Mapping[str, Story], effects: Counter[Effect]) -> Iterator[Violation]:
    for (workflow, step, index, attempt), ran in effects.items():
        story = stories.get(workflow)
        if story is None:
            yield Violation(workflow, 0, 9, f"task {step}[{index}] ran, and there is no such log")
            continue
        started = story.steps.starts[(step, index, attempt)]
        if ran > started:
            text = f"task {step}[{index}] ran {ran} times in attempt {attempt}"
            yield Violation(workflow, 0, 4, f"{text}, its log has {started} starts")


def _never(stories: Mapping[str, Story], effects: Counter[Effect]) -> Iterator[Violation]:
    for workflow, story in stories.items():
        for step in story.steps.all.values():
            for index, task in step.tasks.items():
                place = (workflow, step.id, index, task.attempt)
                if task.status == "completed" and not effects[place]:
                    text = f"task {step.id}[{index}] completed and its body never ran"
                    yield Violation(workflow, 0, 4, text)
