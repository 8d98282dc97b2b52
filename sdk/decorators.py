"""`@workflow`, `@step` and `@parallel`: describe a graph of steps as a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..core.errors import DefinitionError
from .graph import PARALLEL, STEP, Over, ParallelMark, StepMark, build
from .handle import Handle, SyncHandle
from .registry import CODE, register

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

#: Where an instance keeps the arguments it was made with.
INIT = "__agentainer_init__"


class Workflow:
    """What `@workflow` gives a class. Inherit from it to let type checkers see the methods."""

    def run(self, **inputs: Any) -> Any:
        """Run here, in this process, to the end, and return the result.

        The last step's result; a dict by step when several steps end the graph. Raises
        WorkflowFailed with step, task, cause and the last lines of the agent that failed.
        """
        from .runner import run

        return run(self, inputs)

    async def arun(self, **inputs: Any) -> Any:
        """`run` for async callers."""
        from .runner import arun

        return await arun(self, inputs)

    def start(self, **inputs: Any) -> SyncHandle:
        """Create and start a run for whoever serves the definition; return its handle at once."""
        from .runner import start

        return start(self, inputs)

    async def astart(self, **inputs: Any) -> Handle:
        """`start` for async callers."""
        from .runner import astart

        return await astart(self, inputs)


RESERVED = ("run", "arun", "start", "astart")


def workflow(name: str | None = None) -> Callable[[C], C]:
    """Make a class a workflow; without a name the class's own is used.

    Raises DefinitionError when its steps do not make a runnable graph.
    """
    if isinstance(name, type):
        raise DefinitionError(
            name.__name__, "write @workflow(name=…) or @workflow(), with brackets"
        )
    frame = inspect.currentframe()
    scope = frame.f_back.f_locals if frame and frame.f_back else {}

    def decorate(cls: C) -> C:
        label = name or cls.__name__
        _check_reserved(cls, label)
        for method in RESERVED:
            if not hasattr(cls, method):
                setattr(cls, method, getattr(Workflow, method))
        code = build(cls, label, dict(scope))
        register(code)
        setattr(cls, CODE, code)
        _record_init(cls)
        return cls

    return decorate


def step(name: str | None = None, *, depends_on: Sequence[str] = ()) -> Callable[[F], F]:
    """Make a method a step. It runs once all steps in `depends_on` have completed."""
    if callable(name):
        raise DefinitionError("@step", "write @step(name=…) or @step(), with brackets")
    if isinstance(depends_on, str):
        depends_on = [depends_on]
    mark = StepMark(name, tuple(dict.fromkeys(depends_on)))

    def decorate(function: F) -> F:
        setattr(function, STEP, mark)
        return function

    return decorate


def parallel(*, max_workers: int | None = None, over: Over | None = None) -> Callable[[F], F]:
    """Fan a step out: one task per item, at most `max_workers` at a time.

    Items come from the input `<x>s` for a parameter `<x>_id` or `<x>` (an int n means 0 to n-1),
    or from `over`: the name of an input or step, or a function of the inputs. Results arrive at
    the next step as a list in item order.
    """
    if max_workers is not None and max_workers < 1:
        raise DefinitionError("@parallel", f"max_workers must be at least 1, got {max_workers}")
    mark = ParallelMark(max_workers, over)

    def decorate(function: F) -> F:
        setattr(function, PARALLEL, mark)
        return function

    return decorate


def _check_reserved(cls: type, label: str) -> None:
    for method in RESERVED:
        own = getattr(cls, method, None)
        if own is not None and own is not getattr(Workflow, method):
            raise DefinitionError(
                label, f"{method!r} is what starts a workflow; give the step another name"
            )


def _record_init(cls: type) -> None:
    """Keep the arguments of `__init__`, so that another process can make the instance again."""
    original = cls.__init__  # type: ignore[misc]  # the class is what the user wrote
    signature = inspect.signature(original)

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if INIT not in vars(self):
            signature.bind(self, *args, **kwargs)
            vars(self)[INIT] = {"args": list(args), "kwargs": kwargs}
        original(self, *args, **kwargs)

    cls.__init__ = init  # type: ignore[misc]
