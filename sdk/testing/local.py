"""Engines on virtual time, and running a workflow to its end in milliseconds."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import anyio.to_thread

from ...core.errors import InputError
from ...core.settings import load_settings
from ..registry import code_of
from .agents import MockAgent
from .engine import LONGEST, FlowEngine
from .faults import Fault
from .loop import BEGINNING
from .props import all_of
from .runs import LocalRun
from .stages import VirtualStage

__tracebackhide__ = True  # for pytest: what a test did is in other frames

#: A lease that does not end, seconds.
NEVER = 1e10
#: What is not an input of the run.
OPTIONS = ("agents", "faults", "debug")


class LocalEngine(FlowEngine):
    """An engine on virtual time and a Redis in memory: nothing waits, all is the same each time."""

    def __init__(
        self,
        *,
        agents: Sequence[MockAgent] = (),
        faults: Sequence[Fault] = (),
        now: datetime | float = BEGINNING,
        seed: int = 0,
        lease: float = 5.0,
        within: float = LONGEST,
        debug: bool = False,
        **settings: Any,
    ) -> None:
        """`now` is when it begins, in UTC if it names no zone; names of runs follow from `seed`; a
        worker that died keeps its tasks for `lease` seconds. `settings` are those of
        `AGENTAINER_…`, such as `slots=1`.
        """
        super().__init__(agents=agents, faults=faults, debug=debug, within=within)
        moment = _moment(now) if isinstance(now, datetime) else float(now)
        # Nobody dies but by the test, so nobody has to show that they live.
        ours = load_settings({}, **{"lease": NEVER, **settings, "partitions": 1})
        stage = VirtualStage(ours, self._runtime, now=moment, seed=seed, lease=lease)
        self.stage = stage
        self._finalizer = weakref.finalize(self, stage.close)


def run_local(
    workflow: Any,
    *,
    agents: Sequence[MockAgent] = (),
    faults: Sequence[Fault] = (),
    debug: bool = False,
    **inputs: Any,
) -> LocalRun:
    """Run a workflow, an instance or a class, on virtual time; return when it has ended.

    A run that failed is returned as well: its `result` raises what `run()` would. `agents` are
    played in this order of preference, `faults` happen, `debug` prints each event. Raises
    UnknownAgent for an agent that nobody plays, NeverHeld when the run can never end, ValueError
    for a fault of no step.
    """
    _check_inputs(workflow)
    _check_faults(workflow, all_of(Fault, faults))
    with LocalEngine(agents=agents, faults=faults, debug=debug) as engine:
        return engine.run(workflow, **inputs)


async def arun_local(
    workflow: Any,
    *,
    agents: Sequence[MockAgent] = (),
    faults: Sequence[Fault] = (),
    debug: bool = False,
    **inputs: Any,
) -> LocalRun:
    """`run_local` for async callers: the loop that they run on goes on meanwhile."""

    def run() -> LocalRun:
        return run_local(workflow, agents=agents, faults=faults, debug=debug, **inputs)

    return await anyio.to_thread.run_sync(run)


def _moment(now: datetime) -> float:
    return (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()


def _check_faults(workflow: Any, faults: Sequence[Fault]) -> None:
    """Raises ValueError for one that can never happen, as no step is called so."""
    steps = [step.id for step in code_of(_class_of(workflow)).definition.steps]
    for fault in faults:
        if not any(map(fault.is_of, steps)):
            raise ValueError(f"{fault.name} is of no step; steps are {', '.join(steps)}")


def _class_of(workflow: Any) -> type:
    return workflow if isinstance(workflow, type) else type(workflow)


def _check_inputs(workflow: Any) -> None:
    """Raises InputError when an input of the workflow cannot be told from an option."""
    cls = _class_of(workflow)
    definition = code_of(cls).definition
    binds = [bind for step in definition.steps for bind in step.binds.values()]
    binds += [step.parallel.over for step in definition.steps if step.parallel]
    if taken := [name for name in OPTIONS if any(bind.input == name for bind in binds)]:
        raise InputError(
            f"{cls.__name__}: {taken[0]!r} is an input of the workflow and an option of run_local; "
            f"write LocalEngine({taken[0]}=…).run({cls.__name__}, {taken[0]}=…)"
        )
