"""Bugs in what schedules: engine, lane, hops, scheduler, documents."""

from __future__ import annotations

from ..planting import Mutant

ENGINE = [
    Mutant(
        "a step completes when all but one of its tasks have",
        "reactors.scheduler:_Progress._look_after",
        "elif step.completed + len(given_up) == step.total:",
        "elif step.completed + len(given_up) >= max(1, step.total - 1):",
    ),
    Mutant(
        "a task that failed is not tried again when others failed with it",
        "reactors.scheduler:_Progress._look_after",
        "if not self._retry(spec, step, index)]",
        "if self.decision.queue or not self._retry(spec, step, index)]",
    ),
    Mutant(
        "documents of a run that has ended are not written",
        "reactors.engine:Engine._end",
        "await self._projector.write(last)\n    if scope",
        "pass\n    if scope",
    ),
    Mutant(
        "what has ended stays so, whatever Redis lost",
        "reactors.engine:Engine._look_again",
        "self._ended.clear()",
        "pass",
    ),
    Mutant(
        "a task is retried without end",
        "reactors.scheduler:_Progress._retry",
        "spec.retry.takes(task.attempt, words_of(task.error))",
        "spec.retry.takes(1, words_of(task.error))",
    ),
]
