"""What the checker has to say: one sentence per broken invariant, with where it is seen."""

from __future__ import annotations

import msgspec

#: The rule of keys, which the design states before its numbered invariants: each has an owner and
#: a lifetime.
KEYS = 0


class Violation(msgspec.Struct, frozen=True, order=True):
    """A broken invariant."""

    #: Empty when it concerns the installation as a whole.
    workflow: str
    #: Version of the log's entry that breaks it; 0 when none does.
    version: int
    #: Its number in the design, or KEYS.
    invariant: int
    text: str


class Notes:
    """Gathers what is found about one workflow."""

    def __init__(self, workflow: str = "") -> None:
        self.workflow = workflow
        self.found: list[Violation] = []

    def say(self, version: int, invariant: int, text: str) -> None:
        self.found.append(Violation(self.workflow, version, invariant, text))
