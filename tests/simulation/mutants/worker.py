"""Bugs in what runs steps."""

from __future__ import annotations

from ..planting import Mutant

WORKER = [
    Mutant(
        "a value that was recorded is made again",
        "sdk.task:Task.once",
        "if known is not None:",
        "if False:",
    ),
    Mutant(
        "a worker keeps what Redis says it has",
        "sdk.worker:Worker._compare",
        "await self._session.hand_back_others(kept)",
        "pass",
    ),
    Mutant(
        "a body waits for an agent that is not there any more",
        "sdk.task:Task.outcome",
        "self.lose()",
        "settled = ('', '', '')",
    ),
]
