"""Run a plan, and judge it."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Generator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import msgspec
import redis.utils
import structlog

from agentainer_flow.core.clock import use_clock
from agentainer_flow.core.ids import Origin, use_origin
from agentainer_flow.core.memory import serve
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections.invariants import Entry
from agentainer_flow.reactors import scheduler
from agentainer_flow.reactors.runtimes.contract import Runtime
from agentainer_flow.sdk import runner, service
from agentainer_flow.sdk.testing.loop import Deadlock

from .hosts import RUNTIME
from .loop import Livelock, SimulatedLoop
from .oracle import judge
from .plan import Plan
from .world import World


class Outcome(msgspec.Struct):
    """What came of a run. It is well when there are no problems."""

    plan: Plan
    problems: list[str]
    #: What it met, and how often.
    seen: Counter[str]
    #: What happened, line by line, and the digest of all that did.
    story: list[str]
    digest: str
    logs: Mapping[str, Sequence[Entry]]
    #: Virtual seconds.
    took_s: float
    #: Calls of scripts by node.
    calls: dict[str, int]


# It looks through all that is installed, for each connection.
redis.utils.get_lib_version = cache(redis.utils.get_lib_version)
# What is imported stays: who looks for what can go need not look through it.
gc.freeze()


def simulate(plan: Plan) -> Outcome:
    loop = SimulatedLoop(plan.seed)
    uncaught: list[str] = []
    name = f"simulation-{plan.seed}"
    with (
        serve(
            name,
            clock=lambda: 1000 * (loop.now() + world.network.shift_s),
            seed=plan.seed,
            keeps_journal=plan.loses_writes,
        ) as server,
        use_clock(loop.clock),
        _logs_counted() as said,
        _runtimes_simulated(),
        _queued_by(plan.portion),
    ):
        loop.set_exception_handler(lambda _, told: uncaught.append(_words_of(told)))
        world = World(plan, loop, server, f"memory://{name}")
        try:
            with use_origin(Origin(world.chance, "judge", 0)):
                problems, logs = _play(world, loop)
        finally:
            loop.end()
    problems += [f"it was said: {name}" for name in said if name in NEVER]
    problems += uncaught
    if plan.is_calm and said["lanes lost"]:
        problems.append("a lane was lost, and nobody died")
    if said["logs rolled back"] and not plan.loses_writes:
        problems.append("a log counts as rolled back, and Redis lost nothing")
    events = Counter(entry.type for log in logs.values() for entry in log)
    seen = world.seen + Counter(
        {
            "tasks lost": events["task.lost"],
            "agents adopted": sum(
                bool(entry.data.get("adopted")) for log in logs.values() for entry in log
            ),
        }
    )
    seen += Counter({name: said[name] for name in SAID.values() if said[name]})
    return Outcome(
        plan,
        problems,
        seen,
        world.story.lines,
        world.story.digest,
        logs,
        loop.time(),
        {node: number for (node, script), number in world.network.made.items() if not script},
    )


def _words_of(told: Mapping[str, Any]) -> str:
    """What a loop tells of an exception that nobody caught."""
    return f"{told['message']}: {told.get('exception')!r}"


def _play(world: World, loop: SimulatedLoop) -> tuple[list[str], Mapping[str, Sequence[Entry]]]:
    """Run it to its end and judge it; what keeps it from ending is a problem like others."""
    try:
        loop.run_until_complete(world.run())
        return loop.run_until_complete(judge(world))
    except (Deadlock, Livelock) as error:
        return [*world.problems, f"{type(error).__name__}: {error}"], {}
    finally:
        world.end()


#: What is counted of what is logged, and under which name.
SAID = {
    "engine.lane_lost": "lanes lost",
    "worker.result_refused": "results refused (worker)",
    "launcher.removed_leftover": "leftovers removed",
    "engine.log_rolled_back": "logs rolled back",
    "redis.away": "Redis missed",
}
#: What must not be said.
NEVER = ("engine.workflow_set_aside", "projector.documents_refused")


@contextmanager
def _logs_counted() -> Generator[Counter[str]]:
    """Count what is logged, instead of printing it."""
    said: Counter[str] = Counter()

    def count(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        name = str(event["event"])
        said[SAID.get(name, name)] += 1
        raise structlog.DropEvent

    known = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(
        processors=[count], wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET)
    )
    try:
        yield said
    finally:
        structlog.reset_defaults()
        if known:
            structlog.configure(**known)


@contextmanager
def _queued_by(portion: int) -> Generator[None]:
    """Let engines queue large fan-outs in such portions, and twice as much ahead."""
    real = scheduler.CHUNK, scheduler.AHEAD
    if portion:
        scheduler.CHUNK, scheduler.AHEAD = portion, 2 * portion
    try:
        yield
    finally:
        scheduler.CHUNK, scheduler.AHEAD = real


@contextmanager
def _runtimes_simulated() -> Generator[None]:
    """Give services the runtime of the node that they are on."""

    async def open_runtime(_settings: Settings, _installation: str) -> Runtime:
        return RUNTIME.get()

    modules: list[Any] = [service, runner]
    real = modules[0].open_runtime
    for module in modules:
        module.open_runtime = open_runtime
    try:
        yield
    finally:
        for module in modules:
            module.open_runtime = real
