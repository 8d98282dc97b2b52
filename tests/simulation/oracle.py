"""Judge a run: by its logs and keys, by what really happened, by what its clients were told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from agentainer_flow.core.keys import Keys
from agentainer_flow.core.log import EventLog
from agentainer_flow.projections.invariants import Entry, Notes
from agentainer_flow.projections.invariants.entries import read_entries
from agentainer_flow.sdk.check import Question, check
from agentainer_flow.sdk.verify import verify

from .calm import judge_calm
from .delays import judge_delays
from .effects import judge_effects
from .graphs import POISON, Agent, Count, Die
from .hosts import LINES
from .plan import Plan
from .turns import judge_turns
from .values import ENDS, judge_values
from .world import World

#: What the checker may find where Redis forgot an agent, which goes on.
FORGOTTEN = ("is launched again", "was never launched")

Logs = Mapping[str, Sequence[Entry]]


async def judge(world: World) -> tuple[list[str], Logs]:
    """What was wrong, in whole sentences; and the logs."""
    log = EventLog(world.settings_of(), world.url)
    try:
        await log.open()
        logs = {
            one.workflow: await _entries(log, one.workflow) for one in world.clients if one.workflow
        }
        problems = [*world.problems, *await _checked(world, log, logs), *_judge(world, logs)]
    finally:
        await log.close()
    return list(dict.fromkeys(problems)), logs


async def _entries(log: EventLog, workflow: str) -> list[Entry]:
    return read_entries(Notes(), await log.redis.xrange(log.keys.events(workflow)))


async def _checked(world: World, log: EventLog, logs: Logs) -> list[str]:
    """What the independent checker finds, and what deciding again does."""
    found = await check(log, Question(queues=world.plan.queues))
    jumps = any(fault.kind == "clock" for fault in world.plan.timed)
    problems = [
        f"rule {one.invariant}: {one.workflow} at {one.version}: {one.text}"
        for one in found.violations
        if not (world.plan.loses_writes and any(text in one.text for text in FORGOTTEN))
        if not (jumps and "before its retry is due" in one.text)
    ]
    for workflow, entries in logs.items():
        if entries:
            verified = await verify(log, workflow)
            problems += [f"verify: {workflow}: {one}" for one in verified.findings]
    return problems


def _judge(world: World, logs: Logs) -> Iterator[str]:
    yield from world.recorder.complaints
    yield from _workflows(world, logs)
    if not world.plan.loses_writes:
        yield from judge_effects(world.recorder, logs, _counts(world))
        taken_back = world.seen["claims taken back"]
        graphs = {
            one.workflow: start.graph
            for one, start in zip(world.clients, world.plan.starts, strict=True)
        }
        yield from judge_calm(world.plan, graphs, logs, world.recorder, taken_back)
        if not any(fault.kind == "clock" for fault in world.plan.timed):
            yield from judge_delays(graphs, logs)
            yield from judge_turns(world.plan, graphs, logs)
        yield from _outputs(world, logs)
        yield from _commands(world, logs)


def _counts(world: World) -> dict[str, dict[str, int]]:
    """How often a body changes the state, by workflow and step."""
    return {
        one.workflow: {
            step.id: sum(isinstance(act, Count) for act in step.acts) for step in start.graph.steps
        }
        for one, start in zip(world.clients, world.plan.starts, strict=True)
    }


def _workflows(world: World, logs: Logs) -> Iterator[str]:
    excuses = excuses_of(world.plan)
    cancelled = {
        told.workflow for told in world.told if (told.verb, told.answer) == ("cancel", "done")
    }
    for number, one in enumerate(world.clients):
        graph = world.plan.starts[number].graph
        entries = logs.get(one.workflow)
        if not entries:
            if not (world.plan.loses_writes or world.plan.starts[number].alone):
                yield f"workflow {number} ({one.workflow}) was acknowledged, it has no log"
            continue
        last = next((entry for entry in entries if entry.type in ENDS), None)
        if last is None:
            end = entries[-1]
            yield f"workflow {number} has not ended: {end.type} at {end.version} is its last"
        elif last.type == "workflow.cancelled" and one.workflow not in cancelled:
            yield f"workflow {number} was cancelled, and nobody was told so"
        elif (
            one.workflow in cancelled
            and last.type != "workflow.cancelled"
            and not world.plan.loses_writes
        ):
            yield f"workflow {number} was to be cancelled, its end is {last.type}"
        for problem in judge_values(graph, entries, excuses):
            yield f"workflow {number} ({one.workflow}): {problem}"


def _outputs(world: World, logs: Logs) -> Iterator[str]:
    """Each line of an agent that succeeded is kept, once."""
    keys = Keys(partitions=world.plan.partitions)
    for workflow, entries in logs.items():
        for job in (one.data["job"] for one in entries if one.type == "job.succeeded"):
            key = keys.workflow(workflow, f"job:{job}:logs").encode()
            if (kept := world.network.server.run([b"XLEN", key])) != LINES:
                yield f"{workflow}: of agent {job} {kept} lines are kept, it wrote {LINES}"


def excuses_of(plan: Plan) -> set[str]:
    """Why runs may fail which need not: kinds of errors."""
    steps = [step for start in plan.starts for step in start.graph.steps]
    acts = [act for step in steps for act in step.acts]
    deadly = any(isinstance(act, Die) and act.times >= POISON for act in acts)
    excuses: set[str] = {"Poison"} if plan.faults or deadly else set()
    kinds = {fault.kind for fault in plan.timed}
    if any(step.timeout for step in steps):
        excuses.add("TaskTimeout")
    if any(step.queue_timeout for step in steps):
        excuses.add("QueueTimeout")
    if any(start.graph.timeout for start in plan.starts):
        excuses.add("WorkflowTimeout")
    if any(isinstance(act, Agent) for act in acts) and kinds & {"agent", "power", "host"}:
        excuses.add("AgentFailed")
    return excuses


def _commands(world: World, logs: Logs) -> Iterator[str]:
    """Each command that was acknowledged is in the log, once."""
    done = Counter((one.workflow, one.verb) for one in world.told if one.answer == "done")
    for workflow, entries in logs.items():
        types = Counter(entry.type for entry in entries)
        asked = {
            "workflow.paused": done[(workflow, "pause")] + done[(workflow, "freeze")],
            "workflow.resumed": done[(workflow, "resume")],
            "workflow.cancel_requested": done[(workflow, "cancel")],
            "state.updated": done[(workflow, "write")],
        }
        types["state.updated"] = sum(
            entry.type == "state.updated" and entry.by == "client" for entry in entries
        )
        for kind, times in asked.items():
            if types[kind] != times:
                yield f"{workflow}: {times} times {kind} was acknowledged, it has {types[kind]}"
