"""Tell of runs: what failed with its story, and what all of them met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from agentainer_flow.projections.invariants import Entry

from .run import Outcome

#: Of the data of an event, what makes lines long and says little.
DULL = {"definition", "code", "init", "input", "items", "spec", "traceback", "trace", "bases"}


def story_of(outcome: Outcome) -> Iterator[str]:
    """Everything that a reader needs of a run that failed."""
    plan = msgspec.json.encode(outcome.plan).decode()
    yield f"plan: {plan}"
    yield from outcome.story
    for number, (workflow, log) in enumerate(outcome.logs.items()):
        yield f"workflow {number}: {workflow}"
        yield from (f"  {_line(entry)}" for entry in log)
    yield from (f"PROBLEM    {problem}" for problem in outcome.problems)
    yield f"trace      {outcome.digest}"


def _line(entry: Entry) -> str:
    cause = f" <- {entry.cause}" if entry.cause else ""
    data = ", ".join(f"{name} {_short(value)}" for name, value in _facts(entry.data))
    return f"{entry.version:4} {entry.ts % 10_000_000:8} {entry.type} {data} ({entry.by}{cause})"


def _facts(data: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in data.items() if name not in DULL)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return str(dict(_facts(value)))[:120]  # pyright: ignore[reportUnknownArgumentType]
    return str(value)[:120]


def list_of(seen: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(seen.items()))
