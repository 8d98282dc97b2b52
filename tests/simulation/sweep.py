"""A crash before and after every call of a script, in runs of five reference workflows."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from .graphs import Agent, Count, Fail, Graph, Nap, Once, Step, Work
from .plan import CallFault, CallKind, Command, Plan, Start
from .run import simulate

CHAIN = Graph(
    (
        Step("one", acts=(Once(),)),
        Step("two", ("one",), (Nap(0.3),)),
        Step("three", ("two",), (Count(),)),
    )
)
FAN = Graph(
    (
        Step("split", gives=3),
        Step("work", (), (Count(), Work(0.05)), over="split", max_workers=2),
        Step("total", ("work",)),
    )
)
AGENTS = Graph(
    (Step("ask", (), (Agent(0.4),), width=2, retries=2), Step("gather", ("ask",))), max_parallel=2
)
FLAKY = Graph(
    (
        Step("tried", (), (Fail(1, each=2),), width=3, retries=2),
        Step("slow", (), (Work(0.2),), concurrency=("key", 1)),
        Step("end", ("tried", "slow"), (Agent(0.3, fails=1),), retries=1),
    )
)
PAUSED = Graph((Step("one", (), (Agent(0.5), Work(0.3))), Step("two", ("one",), (Nap(0.2),))))

REFERENCES: dict[str, Start] = {
    "chain": Start(CHAIN),
    "fan": Start(FAN),
    "agents": Start(AGENTS),
    "flaky": Start(FLAKY),
    "paused": Start(PAUSED, commands=(Command(0.2, "pause"), Command(1.0, "resume"))),
}
KINDS: tuple[CallKind, ...] = ("crash_before", "crash_after")


def plans(name: str, kind: CallKind) -> Iterator[Plan]:
    """One for each call of a script, which comes to this there; the first has no fault."""
    plan = Plan(seed=1, starts=(REFERENCES[name],))
    yield plan
    (node,) = plan.nodes
    for number in range(1, simulate(plan).calls[node.name] + 1):
        yield replace(plan, calls=(CallFault(node.name, number, kind),))
