"""What the tasks of a workflow share, and what they record."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from ..answers import Conflict, Ended, Lost, Missing, StateRefused
from .caller import Caller, decode, outcome_of


class Effect(TypedDict):
    """What a step did once: whose it is, and its name."""

    step: str
    index: int
    token: str
    #: By which it is found again.
    effect: str
    #: JSON, for readers of the log.
    name: str


class StateScripts(Caller):
    async def change_state(
        self,
        workflow: str,
        *,
        by: str,
        changes: list[dict[str, Any]],
        claim: dict[str, Any] | None = None,
        key: str | None = None,
        limit: int | None = None,
    ) -> list[str | None] | Lost | Missing | Ended | StateRefused:
        """Apply changes; returns the JSON of the sum of each incr, None for other changes.

        A list may grow to `limit` bytes. `claim` is {step, index, token, write} of the task that
        writes; anybody else gives an idempotency key.
        """
        answer = await self._run(
            "state",
            self._keys.partition(workflow),
            id=workflow,
            by=by,
            changes=changes,
            **(claim or {}),
            **({"key": key} if key else {}),
            **({"limit": limit} if limit else {}),
        )
        outcome: list[str | None] | Lost | Missing | Ended | StateRefused
        outcome = _state_outcome_of(decode(answer))
        self._note([outcome])
        return outcome

    async def write_state(
        self,
        workflow: str,
        *,
        by: str,
        changes: list[dict[str, Any]],
        key: str,
        version: int | None = None,
    ) -> list[str | None] | Missing | Ended | Conflict | StateRefused:
        """`change_state` for whoever holds no task, if the workflow has the expected version."""
        given = {} if version is None else {"version": version}
        answer = await self._run(
            "state",
            self._keys.partition(workflow),
            id=workflow,
            by=by,
            changes=changes,
            key=key,
            **given,
        )
        outcome: list[str | None] | Missing | Ended | Conflict | StateRefused
        outcome = _state_outcome_of(decode(answer))
        self._note([outcome])
        return outcome

    async def record_effect(
        self, workflow: str, *, value: str, **effect: Unpack[Effect]
    ) -> str | Lost:
        """Record an effect (`value` is JSON); returns the value that stands."""
        recorded = await self._record(workflow, value=value, **effect)
        return recorded if isinstance(recorded, Lost) else recorded[0]

    async def record_sleep(
        self, workflow: str, *, seconds: float, **effect: Unpack[Effect]
    ) -> float | Lost:
        """Record a sleep of so many seconds; returns those that are left of the first record."""
        recorded = await self._record(workflow, seconds=seconds, **effect)
        if isinstance(recorded, Lost):
            return recorded
        until, now_ms = recorded
        return max(0.0, float(until) - now_ms / 1000)

    async def _record(self, workflow: str, **call: Any) -> tuple[str, int] | Lost:
        """The value that stands, and the time of the call in ms."""
        partition = self._keys.partition(workflow)
        word, *facts = decode(await self._run("record_effect", partition, id=workflow, **call))
        self._note([], word == "lost")
        return Lost() if word == "lost" else (str(facts[0]), int(facts[1]))


def _state_outcome_of(answer: list[Any]) -> Any:
    match answer:
        case ["appended", values]:
            return [value or None for value in values]
        case ["ended", status]:
            return Ended(status)
        case ["refused", name, problem]:
            return StateRefused(name, problem)
        case _:
            return outcome_of(answer)
