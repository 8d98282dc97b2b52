"""Agents that are played by the test instead of containers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, get_args

import msgspec

from ...core.errors import FlowError
from ...reactors.runtimes.contract import Launch, OutcomeKind
from .props import Prop

#: How an agent may fail.
KINDS = [kind for kind in get_args(OutcomeKind) if kind not in ("succeeded", "cancelled")]


class AgentFailure(Exception):
    """For `mock_agent(raises=…)`, or to be raised by its function: how the agent fails.

    `kind` as the engine tells it: failed, oom_killed, timed_out, cannot_start, image_missing,
    bad_result or lost. Raises ValueError for another one.
    """

    def __init__(
        self,
        kind: OutcomeKind = "failed",
        reason: str = "",
        *,
        exit_code: int | None = None,
        last_lines: Sequence[str] = (),
    ) -> None:
        super().__init__(reason or kind)
        if kind not in KINDS:
            raise ValueError(f"no agent fails with {kind!r}; kinds are {', '.join(KINDS)}")
        self.kind: OutcomeKind = kind
        self.reason = reason
        self.exit_code = exit_code
        self.last_lines = list(last_lines)


class UnknownAgent(FlowError):
    """Raised when a step deploys an agent that no `mock_agent` plays."""


class AgentCall(msgspec.Struct, kw_only=True):
    """One agent that a step deployed. Times are seconds since 1970, of the run's own clock."""

    name: str
    image: str
    env: dict[str, str] = {}
    #: What `deploy_agent(input=…)` was given.
    input: Any = None
    command: list[str] | None = None
    workflow: str
    step: str
    index: int
    #: Of the task, from 1 on.
    attempt: int
    job: str
    #: `running`, then as the engine tells its end: succeeded, failed, oom_killed, cancelled …
    outcome: str = "running"
    result: Any = None
    error: str = ""
    started: float = 0.0
    ended: float | None = None
    #: Of the calls of one `mock_agent`: 1 for the first.
    number: int = 0

    @property
    def took(self) -> float:
        """Seconds from start to end; 0 while it runs."""
        return (self.ended or self.started) - self.started


#: Plays an agent: gets the call, returns the result (or something to await for it), or raises.
Play = Callable[[AgentCall], Any]


class MockAgent(Prop):
    """An agent that a test plays; see `mock_agent`."""

    made_by = "mock_agent(…)"

    def __init__(
        self,
        pattern: str,
        play: Play,
        *,
        takes: float | Callable[[AgentCall], float],
        prints: str | Sequence[str],
        failure: AgentFailure | None,
    ) -> None:
        super().__init__()
        self.pattern = pattern
        self.play = play
        self._takes = takes
        self.prints = prints.splitlines() if isinstance(prints, str) else list(prints)
        self._failure = failure
        #: One for each time that it was deployed, oldest first.
        self.calls: list[AgentCall] = []

    def __repr__(self) -> str:
        return f"mock_agent({self.pattern!r}), deployed {len(self.calls)} times"

    @property
    def last_call(self) -> AgentCall:
        """Raises LookupError when there was none."""
        if not self.calls:
            raise LookupError(f"mock_agent({self.pattern!r}) was never deployed")
        return self.calls[-1]

    def plays(self, launch: Launch) -> bool:
        return is_like(self.pattern, launch.name, launch.image)

    def begin(self, call: AgentCall) -> None:
        """Note the call. Raises AgentFailure for one that does not even begin."""
        self.calls.append(call)
        call.number = len(self.calls)
        if self._failure and self._failure.kind in ("cannot_start", "image_missing"):
            raise self._failure

    def seconds(self, call: AgentCall) -> float:
        """Raises TypeError, ValueError, or what the test's function raises."""
        return _seconds(self._takes(call) if callable(self._takes) else self._takes, self.pattern)


def mock_agent(
    pattern: str,
    play: Play | None = None,
    *,
    returns: Any = None,
    raises: BaseException | type[BaseException] | str | None = None,
    takes: float | Callable[[AgentCall], float] = 0.0,
    exit_code: int | None = None,
    oom: bool = False,
    prints: str | Sequence[str] = (),
) -> MockAgent:
    """Play the agents whose name or image is like `pattern` (`*` stands for anything).

    `play` is a function that gets the `AgentCall` and returns the agent's result, or raises; in its
    place `returns` is the result of all. An agent fails with `raises` (an AgentFailure, another
    exception, or a text), an `exit_code` other than 0, or by `oom`. It `takes` seconds of the
    run's time, or as many as a function of the call says, and `prints` lines of output.

    An assertion in a function that does not hold fails the test, not the agent.
    """
    if play is not None and not callable(play):
        raise TypeError(f"mock_agent({pattern!r}, {play!r}): give a result as returns=")
    if not callable(takes):
        _seconds(takes, pattern)
    failure = _failure_of(raises, exit_code, oom)
    if failure and (play or returns is not None):
        raise ValueError(f"mock_agent({pattern!r}) is to fail and to return something: which?")
    if play and returns is not None:
        raise ValueError(f"mock_agent({pattern!r}) has a function and returns=: which?")

    def answer(call: AgentCall) -> Any:
        if failure:
            raise failure
        return returns

    return MockAgent(pattern, play or answer, takes=takes, prints=prints, failure=failure)


def is_like(pattern: str, name: str, image: str) -> bool:
    """Whether it is of an agent: of its name, or its image with or without registry and tag."""
    short = image.rpartition("/")[2]
    names = (name, image, short, short.partition(":")[0])
    return any(fnmatchcase(one, pattern) for one in names)


def _seconds(takes: object, pattern: str) -> float:
    if not isinstance(takes, int | float):
        raise TypeError(f"mock_agent({pattern!r}) takes seconds, got {takes!r}")
    if not takes >= 0:
        raise ValueError(f"mock_agent({pattern!r}) cannot take {takes!r} seconds")
    return takes


def _failure_of(raises: object, exit_code: int | None, oom: bool) -> AgentFailure | None:
    match raises:
        case AgentFailure():
            return raises
        case BaseException():
            return failure_of(raises, exit_code)
        case type() if issubclass(raises, BaseException):
            return _failure_of(raises(), exit_code, oom)
        case str():
            return AgentFailure("failed", raises, exit_code=exit_code or 1, last_lines=[raises])
        case None if oom:
            return AgentFailure("oom_killed", "out of memory", exit_code=exit_code or 137)
        case None if exit_code:
            return AgentFailure("failed", f"exit code {exit_code}", exit_code=exit_code)
        case None:
            return None
        case _:
            raise TypeError(f"raises= is an exception or a text, got {raises!r}")


def failure_of(error: BaseException, exit_code: int | None = None) -> AgentFailure:
    """As a Python program fails that does not catch an exception."""
    line = f"{type(error).__name__}: {error}".removesuffix(": ")
    return AgentFailure("failed", line, exit_code=exit_code or 1, last_lines=[line])


def say_unknown(launch: Launch, known: Sequence[MockAgent]) -> str:
    """What to add to the test."""
    listed = ", ".join(repr(mock.pattern) for mock in known) or "none"
    return (
        f"no mock_agent plays agent {launch.name!r} (image {launch.image!r}), which step "
        f"{launch.step!r} deploys; there are: {listed}. "
        f"Add agents=[mock_agent({launch.name!r}, returns=…)]"
    )
