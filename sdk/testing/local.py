"""Run a workflow to its end, here and in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio.to_thread

from ...core.errors import InputError
from ..registry import code_of
from .agents import MockAgent
from .engine import LocalEngine, LocalRun
from .faults import Fault

#: What is not an input of the run.
OPTIONS = ("agents", "faults", "debug")


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
    UnknownAgent for an agent that nobody plays, NeverHeld when the run can never end.
    """
    _check_inputs(workflow)
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


def _check_inputs(workflow: Any) -> None:
    """Raises InputError when an input of the workflow cannot be told from an option."""
    cls = workflow if isinstance(workflow, type) else type(workflow)
    definition = code_of(cls).definition
    binds = [bind for step in definition.steps for bind in step.binds.values()]
    binds += [step.parallel.over for step in definition.steps if step.parallel]
    if taken := [name for name in OPTIONS if any(bind.input == name for bind in binds)]:
        raise InputError(
            f"{cls.__name__}: {taken[0]!r} is an input of the workflow and an option of run_local; "
            f"write LocalEngine({taken[0]}=…).run({cls.__name__}, {taken[0]}=…)"
        )
