"""What the users of a run were told, against what became of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from agentainer_flow.projections.invariants import Entry

from .flows import expected
from .journal import Journal
from .schedule import Start, Verb

#: What says that a workflow was ended, by how.
ENDS = ("workflow.completed", "workflow.failed", "workflow.cancelled")
#: A task that lost so many workers counts as what kills them; here it did not.
POISON = "Poison"


class Outcomes(msgspec.Struct, frozen=True):
    """How workflows ended, and in whole sentences what should not have come about."""

    ended: dict[str, int]
    problems: list[str]


def judge_workflows(
    starts: Sequence[Start], logs: Mapping[str, Sequence[Entry]], journal: Journal
) -> Outcomes:
    ended: Counter[str] = Counter()
    problems: list[str] = []
    cancelled = {told.workflow for told in journal.told if told.answer == "done"} & {
        told.workflow for told in journal.told if told.verb == "cancel"
    }
    for start in starts:
        workflow = journal.started.get(start.number)
        if workflow is None:
            problems.append(f"workflow {start.number} was never acknowledged")
        elif not logs.get(workflow):
            problems.append(f"workflow {workflow} was acknowledged and has no log")
        else:
            how, problem = _outcome(start, logs[workflow], workflow in cancelled)
            ended[how] += 1
            problems += [f"workflow {workflow} ({start.flow} {start.size}): {problem}"] * bool(
                problem
            )
    return Outcomes(dict(ended), [*problems, *_commands(logs, journal)])


def _outcome(start: Start, log: Sequence[Entry], cancelled: bool) -> tuple[str, str]:
    """How it ended, and what is wrong with that."""
    last = next((entry for entry in log if entry.type in ENDS), None)
    if last is None:
        return (
            "not ended",
            f"it has not ended; its log ends with {log[-1].type} at {log[-1].version}",
        )
    result = expected(start.flow, start.size)
    match last.type.removeprefix("workflow."):
        case "completed" if result is None:
            return "completed", "it completed and was to fail"
        case "completed" if last.data.get("result") != result:
            return "completed", f"its result is {last.data.get('result')} and not {result}"
        case "cancelled" if not cancelled:
            return "cancelled", "it was cancelled, and nobody was told so"
        case "failed":
            cause = last.data["error"]["type"]
            if cause == POISON:
                return "poisoned", ""
            if result is not None:
                return "failed", f"it failed by {cause}: {last.data['error']['message']}"
        case _:
            pass
    return last.type.removeprefix("workflow."), ""


def _commands(logs: Mapping[str, Sequence[Entry]], journal: Journal) -> Iterator[str]:
    """Each command that was acknowledged is in the log, once."""
    verbs: dict[Verb, str] = {
        "pause": "workflow.paused",
        "cancel": "workflow.cancel_requested",
    }
    done = Counter((told.workflow, told.verb) for told in journal.told if told.answer == "done")
    for workflow, log in logs.items():
        types = Counter(entry.type for entry in log)
        for verb, kind in verbs.items():
            if types[kind] != done[(workflow, verb)]:
                yield (
                    f"workflow {workflow}: {done[(workflow, verb)]} times {verb} was acknowledged, "
                    f"the log has {types[kind]}"
                )
