"""What a test puts in place for its workflows: agents that are played, and faults.

One is in place for the runs that it is given to, or as a context manager for all within.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import ClassVar, Self, TypeVar, cast


class Prop:
    #: What makes one, for messages.
    made_by: ClassVar[str]

    def __init__(self) -> None:
        self._tokens: list[Token[tuple[Prop, ...]]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_placed.set((self, *_placed.get())))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _placed.reset(self._tokens.pop())


_placed: ContextVar[tuple[Prop, ...]] = ContextVar("placed", default=())

P = TypeVar("P", bound=Prop)


def placed(kind: type[P]) -> list[P]:
    """Those of the context, innermost first."""
    return [prop for prop in _placed.get() if isinstance(prop, kind)]


def all_of(kind: type[P], given: object) -> list[P]:
    """A list of these. Raises TypeError for anything else."""
    found = list(cast("Iterable[object]", given)) if isinstance(given, Iterable) else [None]
    props = [one for one in found if isinstance(one, kind)]
    if len(props) != len(found):
        raise TypeError(f"expected a list of {kind.made_by}, got {given!r}")
    return props
