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
        "self.views.doubt_ends()",
        "pass",
    ),
    Mutant(
        "a task is retried without end",
        "reactors.scheduler:_Progress._retry",
        "spec.retry.takes(task.attempt, words_of(task.error))",
        "spec.retry.takes(1, words_of(task.error))",
    ),
    Mutant(
        "workflows from before a feed are looked at by nobody",
        "reactors.engine:Engine._serve",
        "await self._take_stock()",
        "pass",
    ),
    Mutant(
        "what an engine dealt with stays held",
        "reactors.engine:Engine._deal_with",
        "held.release()",
        "pass",
    ),
    Mutant(
        "nobody looks again after Redis was away",
        "reactors.engine:Engine._serve",
        "await self._look_again()",
        "pass",
    ),
    Mutant(
        "news count as dealt with before they are",
        "reactors.lane:Lane.batches",
        "yield Batch([decode_feed_entry(entry) for entry in found])\n"
        "            position = found[-1][0].decode()",
        "position = found[-1][0].decode()\n"
        "            await self._acknowledge(position)\n"
        "            yield Batch([decode_feed_entry(entry) for entry in found])",
    ),
    Mutant(
        "what followed on a conflict is not decided",
        "reactors.engine:Engine._settle",
        "return held if await self.views.catch_up(held) else None",
        "return None",
    ),
    Mutant(
        "what a hop leaves to decide is not decided",
        "reactors.hop:Hops.finish",
        "await self._engine.advance(again)",
        "pass",
    ),
    Mutant(
        "one more task may fail than is allowed",
        "reactors.scheduler:_allowed",
        "spec.parallel.failures_allowed(total) if",
        "spec.parallel.failures_allowed(total) + 1 if",
    ),
    Mutant(
        "retries come without a delay",
        "reactors.scheduler:_Progress._retry",
        "delay_ms = spec.retry.backoff.delay_ms(task.attempt, spread)",
        "delay_ms = 0",
    ),
    Mutant(
        "each retry waits as long as the first",
        "reactors.scheduler:_Progress._retry",
        "backoff.delay_ms(task.attempt, spread)",
        "backoff.delay_ms(1, spread)",
    ),
    Mutant(
        "tasks wait for a worker for ever",
        "reactors.scheduler:_Progress._put",
        "int(1000 * spec.queue_timeout_s) if spec.queue_timeout_s else 0",
        "0",
    ),
    Mutant(
        "a run ends while tasks run",
        "reactors.scheduler:_wind_down",
        "if decision or view.unsettled_jobs or any(step.running for step in view.steps.values()):",
        "if decision:",
    ),
    Mutant(
        "a step is scheduled for each step before it",
        "reactors.scheduler:_Progress._is_ready",
        "return spec.id not in self.scheduled and all(",
        "return all(",
    ),
    Mutant(
        "a log that Redis rolled back is read on",
        "reactors.views:Views._read_on",
        "if view.version and (not events or events[0].version != view.version):",
        "if False:",
    ),
    Mutant(
        "documents are written at the end alone",
        "reactors.projector:Projector.mark",
        "self._wake.set()",
        "pass",
    ),
    Mutant(
        "an engine that lost its lane keeps what it holds",
        "reactors.engine:Engine.run",
        "self.views.clear()",
        "pass",
    ),
]
