"""Limits that hold over all workflows together: those of queues and of concurrency keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .story import Story
from .violation import Violation

#: The queue that stands for all of them.
ALL = "*"


def check_limits(stories: Iterable[Story], queues: Mapping[str, int]) -> list[Violation]:
    """`queues` are limits that held all the time, by name of the queue.

    Within one ms ends count before starts, so what is found is sure; a limit that was passed for
    less than that is not seen.
    """
    moves: dict[str, list[tuple[int, int]]] = {}
    limits = {f"queue {name!r}": limit for name, limit in queues.items()}
    for story in stories:
        limits |= _keys(story)
        for ms, by, step in story.steps.moves:
            for resource in _resources(story, step):
                if resource in limits:
                    moves.setdefault(resource, []).append((ms, by))
    return [
        Violation("", 0, 5, f"{most} tasks run together in {resource}, its limit is {limit}")
        for resource, limit in sorted(limits.items())
        if (most := _most(moves.get(resource, []))) > limit
    ]


def _keys(story: Story) -> dict[str, int]:
    keys = [step.concurrency for step in story.graph.steps if step.concurrency]
    return {f"concurrency key {key.key!r}": key.limit for key in keys}


def _resources(story: Story, name: str) -> Iterator[str]:
    step = story.graph.step(name)
    yield f"queue {step.queue!r}"
    yield f"queue {ALL!r}"
    if step.concurrency:
        yield f"concurrency key {step.concurrency.key!r}"


def _most(moves: list[tuple[int, int]]) -> int:
    running = most = 0
    for _, by in sorted(moves):
        running += by
        most = max(most, running)
    return most
