"""Bugs in what processes have in common: connections, sessions, bells, timers."""

from __future__ import annotations

from ..planting import Mutant

PROCESSES = [
    Mutant(
        "an answer of a connection that was given up goes to who waits now",
        "core.wire:Wire._read",
        "if connection is not self._connection:",
        "if False:",
    ),
]
