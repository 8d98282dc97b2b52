"""`@workflow`, `@step` and `@parallel`: describe a graph of steps as a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from ..core.definition import NAME, NAME_RULE, Backoff, Concurrency, Quorum, Retry
from ..core.durations import parse_duration
from ..core.errors import DefinitionError
from .graph import PARALLEL, STEP, OnFailure, Over, ParallelMark, StepMark, build
from .handle import Handle, SyncHandle
from .registry import CODE, INIT, code_of, register

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

#: What `retry_on` takes: an exception class, an exit code, or a kind of failure.
RetryRule = type[BaseException] | int | str


class Workflow:
    """What `@workflow` gives a class. Inherit from it to let type checkers see the methods."""

    def run(self, **inputs: Any) -> Any:
        """Run here, in this process, to the end, and return the result.

        The last step's result; a dict by step when several steps end the graph. Raises
        WorkflowFailed with step, task, cause and the last lines of the agent that failed.
        `tags={"team": "search"}` tags the run, unless a step has an input of that name.
        """
        from .runner import run

        return run(self, *split_tags(self, inputs))

    async def arun(self, **inputs: Any) -> Any:
        """`run` for async callers."""
        from .runner import arun

        return await arun(self, *split_tags(self, inputs))

    def start(self, **inputs: Any) -> SyncHandle:
        """Create and start a run for whoever serves the definition; return its handle at once."""
        from .runner import start

        return start(self, *split_tags(self, inputs))

    async def astart(self, **inputs: Any) -> Handle:
        """`start` for async callers."""
        from .runner import astart

        return await astart(self, *split_tags(self, inputs))


def split_tags(workflow: object, inputs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """(inputs, tags): `tags` are those of the run, unless a step takes an input of that name."""
    definition = code_of(type(workflow)).definition
    binds = [bind for step in definition.steps for bind in step.binds.values()]
    binds += [step.parallel.over for step in definition.steps if step.parallel]
    if "tags" not in inputs or any(bind.input == "tags" for bind in binds):
        return inputs, None
    return {name: value for name, value in inputs.items() if name != "tags"}, inputs["tags"]


RESERVED = ("run", "arun", "start", "astart")


def workflow(
    name: str | None = None,
    *,
    timeout: float | None = None,
    max_parallel: int | None = None,
    priority: int = 0,
    queue: str = "default",
    log_ttl: float | str | None = None,
    state_ttl: float | str | None = None,
) -> Callable[[C], C]:
    """Make a class a workflow; without a name the class's own is used.

    A run fails when it takes longer than `timeout` seconds; at most `max_parallel` of its tasks run
    at a time. Runs of a higher `priority` (0 to 9) are served first. `queue` is that of its steps:
    a name that operators can limit (`agentainer queue set`). After its end a run's log is kept for
    `log_ttl` and its state for `state_ttl`, seconds or texts such as "7d"; without them as
    AGENTAINER_LOG_TTL and AGENTAINER_STATE_TTL say. Raises DefinitionError when its steps
    do not make a runnable graph.
    """
    if isinstance(name, type):
        raise DefinitionError(
            name.__name__, "write @workflow(name=…) or @workflow(), with brackets"
        )
    _check_positive("@workflow", timeout=timeout, max_parallel=max_parallel)
    log_ttl_s, state_ttl_s = _duration(log_ttl=log_ttl), _duration(state_ttl=state_ttl)
    if priority not in range(10):
        raise DefinitionError("@workflow", f"priority is 0 to 9, got {priority!r}")
    frame = inspect.currentframe()
    scope = frame.f_back.f_locals if frame and frame.f_back else {}

    def decorate(cls: C) -> C:
        label = name or cls.__name__
        _check_reserved(cls, label)
        for method in RESERVED:
            if not hasattr(cls, method):
                setattr(cls, method, getattr(Workflow, method))
        code = build(
            cls,
            label,
            dict(scope),
            timeout_s=timeout,
            max_parallel=max_parallel,
            priority=priority,
            queue=check_queue(queue),
            log_ttl_s=log_ttl_s,
            state_ttl_s=state_ttl_s,
        )
        register(code)
        setattr(cls, CODE, code)
        _record_init(cls)
        return cls

    return decorate


def step(
    name: str | None = None,
    *,
    depends_on: Sequence[str] = (),
    retries: int = 0,
    backoff: float | Backoff = Backoff(),  # noqa: B008 - frozen
    retry_on: Sequence[RetryRule] = (),
    no_retry_on: Sequence[RetryRule] = (),
    retry_from: Literal["last", "scratch"] = "last",
    timeout: float | None = None,
    queue_timeout: float | None = None,
    queue: str | None = None,
    concurrency: tuple[str, int] | None = None,
) -> Callable[[F], F]:
    """Make a method a step. It runs once all steps in `depends_on` have completed.

    A task that fails is tried again up to `retries` times, after `backoff` seconds that double
    each time (or a `Backoff`). `retry_on` and `no_retry_on` take exception classes, exit codes of
    agents, and kinds of failure such as "oom_killed". A retry keeps the agents that succeeded;
    `retry_from="scratch"` launches all anew. A task that runs longer than `timeout` seconds fails
    with TaskTimeout, one that no worker takes within `queue_timeout` with QueueTimeout.
    `concurrency=("openai", 5)`: of all steps with that key, in all workflows, at most 5 tasks run.
    """
    if callable(name):
        raise DefinitionError("@step", "write @step(name=…) or @step(), with brackets")
    if isinstance(depends_on, str):
        depends_on = [depends_on]
    _check_positive("@step", timeout=timeout, queue_timeout=queue_timeout)
    retry = None
    if retries:
        if not isinstance(backoff, Backoff):
            backoff = Backoff(initial=backoff)
        on, never = (tuple(_word(rule) for rule in given) for given in (retry_on, no_retry_on))
        retry = Retry(retries + 1, backoff, on, never, retry_from == "scratch")
    mark = StepMark(
        name,
        tuple(dict.fromkeys(depends_on)),
        retry,
        timeout,
        queue_timeout,
        queue and check_queue(queue),
        concurrency and _concurrency(*concurrency),
    )

    def decorate(function: F) -> F:
        setattr(function, STEP, mark)
        return function

    return decorate


def parallel(
    *,
    max_workers: int | None = None,
    over: Over | None = None,
    on_failure: OnFailure = "fail_fast",
) -> Callable[[F], F]:
    """Fan a step out: one task per item, at most `max_workers` at a time.

    Items come from the input `<x>s` for a parameter `<x>_id` or `<x>` (an int n means 0 to n-1),
    or from `over`: the name of an input or step, or a function of the inputs. Results arrive at
    the next step as a list in item order. When a task fails for good, `fail_fast` fails the step
    and stops its other tasks; `collect` puts a TaskError in the place of its result; `quorum(n)`
    does so as long as n tasks can still succeed.
    """
    _check_positive("@parallel", max_workers=max_workers)
    if isinstance(on_failure, str) and on_failure not in ("fail_fast", "collect"):
        raise DefinitionError(
            "@parallel",
            f'on_failure is "fail_fast", "collect" or quorum(n), got {on_failure!r}',
        )
    mark = ParallelMark(max_workers, over, on_failure)

    def decorate(function: F) -> F:
        setattr(function, PARALLEL, mark)
        return function

    return decorate


def quorum(needed: int) -> Quorum:
    """For `@parallel(on_failure=…)`: the step completes when at least `needed` tasks succeed."""
    _check_positive("quorum", needed=needed)
    return Quorum(needed)


def _concurrency(key: str, limit: int) -> Concurrency:
    _check_positive("concurrency", limit=limit)
    return Concurrency(check_queue(key), limit)


def check_queue(name: str) -> str:
    if not NAME.fullmatch(name):
        raise DefinitionError(name, f"the name of a queue or key is {NAME_RULE}")
    return name


def _word(rule: RetryRule) -> str:
    """The word that a rule of the user is written as in the definition."""
    if isinstance(rule, type):
        return rule.__name__
    return f"exit:{rule}" if isinstance(rule, int) else rule


def _duration(**given: float | str | None) -> float | None:
    """Seconds. Raises DefinitionError."""
    ((name, value),) = given.items()
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise DefinitionError("@workflow", f"{name}: {error}") from error
    _check_positive("@workflow", **{name: seconds})
    return seconds


def _check_positive(place: str, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and value <= 0:
            raise DefinitionError(place, f"{name} must be above 0, got {value}")


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
