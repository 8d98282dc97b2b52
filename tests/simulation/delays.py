"""Times that a graph asks for: of sleeps, before retries. They hold unless clocks jump."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentainer_flow.projections.invariants import Entry

from .graphs import BACKOFF_FACTOR, BACKOFF_JITTER, Graph, Nap, Step

Logs = Mapping[str, Sequence[Entry]]

#: How far clocks of one process differ by their grain, ms.
GRAIN = 5


def judge_delays(graphs: Mapping[str, Graph], logs: Logs) -> Iterator[str]:
    for workflow, log in logs.items():
        steps = {step.id: step for step in graphs[workflow].steps}
        for text in (*_retries(steps, log), *_sleeps(steps, log)):
            yield f"{workflow}: {text}"


def _retries(steps: Mapping[str, Step], log: Sequence[Entry]) -> Iterator[str]:
    """Each retry waits longer than the one before it, up to the jitter."""
    for entry in log:
        if entry.type != "task.retried":
            continue
        data = entry.data
        most_ms = 1000 * steps[data["step"]].backoff * BACKOFF_FACTOR ** (data["attempt"] - 2)
        if not (1 - BACKOFF_JITTER) * most_ms - 1 <= data.get("delay_ms", 0) <= most_ms:
            yield f"the retry at {entry.version} is after {data.get('delay_ms')} ms, not {most_ms}"


def _sleeps(steps: Mapping[str, Step], log: Sequence[Entry]) -> Iterator[str]:
    """A sleep ends when it should, and no task completes in its sleep."""
    until_ms: dict[tuple[str, int], float] = {}
    for entry in log:
        place = (entry.data.get("step", ""), entry.data.get("index") or 0)
        if entry.type == "effect.recorded" and entry.data.get("kind") == "sleep":
            until_ms[place] = 1000 * float(entry.data["value"])
            asked_ms = sum(1000 * act.s for act in steps[place[0]].acts if isinstance(act, Nap))
            if abs(until_ms[place] - entry.ts - asked_ms) > GRAIN:
                yield f"the sleep at {entry.version} is not {asked_ms} ms long"
        elif entry.type == "task.completed" and entry.ts < until_ms.get(place, 0) - GRAIN:
            yield f"{place[0]}[{place[1]}] completed in its sleep at {entry.version}"
