"""Plans as hypothesis makes them: what fails is shrunk to few steps and few faults."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from .chance import SCRIPTS
from .graphs import Act, Agent, Count, Fail, Graph, Nap, Once, OnFailure, Step, Work
from .plan import CallFault, CallKind, Command, Node, Plan, Start, TimedFault, TimedKind

seconds = st.sampled_from([0.0, 0.05, 0.3, 1.0, 2.5])
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(Work, seconds),
    st.builds(Nap, seconds),
    st.just(Count()),
    st.just(Once()),
    st.builds(Agent, seconds, fails=st.integers(0, 1)),
    st.builds(Fail, times=st.integers(1, 2), each=st.integers(1, 2)),
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 4))):
        before = [step.id for step in steps]
        after = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        steps.append(draw(_steps(f"s{number}", tuple(sorted(after)))))
    return Graph(tuple(steps), max_parallel=draw(st.sampled_from([None, 1, 2])))


@st.composite
def _steps(draw: st.DrawFn, name: str, after: tuple[str, ...]) -> Step:
    width = draw(st.sampled_from([None, 0, 1, 2, 3]))
    on_failure: OnFailure = "fail_fast"
    if width is not None:
        on_failure = draw(st.sampled_from(["fail_fast", "collect", 1, 2]))
    return Step(
        name,
        after,
        tuple(draw(st.lists(acts, max_size=3, unique_by=type))),
        width=width,
        retries=draw(st.integers(0, 2)),
        max_workers=draw(st.sampled_from([None, 1, 2])) if width is not None else None,
        on_failure=on_failure,
        concurrency=draw(st.sampled_from([None, ("key", 1)])),
    )


NODES = ("n1", "n2")
#: What a host is hit by takes longer to get over than a short run is worth.
TIMED = [kind for kind in get_args(TimedKind) if kind not in ("host", "rollback", "clock")]
CALLS: list[CallKind] = list(get_args(CallKind))

calls = st.builds(
    CallFault,
    st.sampled_from(NODES),
    st.integers(1, 6),
    st.sampled_from(CALLS),
    st.sampled_from([0.05, 0.5, 3.0]),
    st.sampled_from(sorted(SCRIPTS)),
)


@st.composite
def timed(draw: st.DrawFn) -> TimedFault:
    kind: TimedKind = draw(st.sampled_from(TIMED))
    of_host = kind in ("power", "daemon")
    target = draw(st.sampled_from(NODES)).replace("n", "h" if of_host else "n")
    at_s, for_s = draw(st.sampled_from([0.02, 0.2, 1.0])), draw(st.sampled_from([0.1, 1.0, 4.0]))
    return TimedFault(at_s, kind, target, for_s)


@st.composite
def starts(draw: st.DrawFn) -> Start:
    commands = draw(
        st.sampled_from(
            [
                (),
                (Command(0.1, "pause"), Command(1.0, "resume")),
                (Command(0.3, "freeze"), Command(0.9, "resume")),
                (Command(0.4, "cancel"),),
            ]
        )
    )
    return Start(draw(graphs()), commands=commands)


plans = st.builds(
    Plan,
    seed=st.integers(0, 1000),
    nodes=st.sampled_from(
        [(Node("n1", host="h1"),), (Node("n1", host="h1"), Node("n2", host="h2", slots=2))]
    ),
    starts=st.lists(starts(), min_size=1, max_size=2).map(tuple),
    calls=st.lists(calls, max_size=3).map(tuple),
    timed=st.lists(timed(), max_size=2).map(tuple),
)
