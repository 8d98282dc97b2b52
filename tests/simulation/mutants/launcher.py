"""Bugs in what runs agents."""

from __future__ import annotations

from ..planting import Mutant

LAUNCHER = [
    Mutant(
        "a launcher keeps what Redis says it has",
        "reactors.launcher:Launcher._compare",
        "await self._session.hand_back_others",
        "list",
    ),
    Mutant(
        "containers that a dead launcher left are not removed",
        "reactors.leftovers:remove_ended",
        "await runtime.remove(launch)",
        "pass",
    ),
]
