"""The lives of nodes: what runs in one knows it by its context."""

from __future__ import annotations

from contextvars import ContextVar


class Life:
    """A node from its start to its death."""

    def __init__(self, node: str, number: int, slots: int = 0) -> None:
        """`slots`: bodies that may run at a time, where that is looked at."""
        self.node = node
        self.number = number
        self.slots = slots
        self.is_dead = False
        #: It stands still: what would go on is held back.
        self.is_frozen = False

    def __str__(self) -> str:
        return f"{self.node}/{self.number}"


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)
