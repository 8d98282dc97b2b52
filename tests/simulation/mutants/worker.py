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
    Mutant(
        "who wakes up does not take its slot again",
        "sdk.task:Task.sleep",
        "self._slots.take()",
        "pass",
    ),
    Mutant(
        "workers do not hear of tasks",
        "sdk.worker:Worker._hear",
        'case "task":\n            self._is_hungry = True\n            self._wake.set()',
        'case "task":\n            pass',
    ),
    Mutant(
        "what rings in a turn is not heard",
        "sdk.worker:Worker._begin",
        "got = sum(len(step.tasks) for step in claimed)",
        "got, self._is_hungry = sum(len(step.tasks) for step in claimed), False",
    ),
    Mutant(
        "a worker sleeps on when a body has ended",
        "sdk.worker:Worker._ended",
        "self._wake.set()",
        "pass",
    ),
    Mutant(
        "the body of a cancelled task runs on",
        "sdk.bodies:Bodies.revoke",
        "runner.cancel()",
        "pass",
    ),
    Mutant(
        "tasks do not hear of the ends of agents",
        "sdk.worker:Worker._hear",
        "self._news.tell(workflow, subject)",
        "pass",
    ),
    Mutant(
        "a task may run for twice its time",
        "sdk.execution:_call",
        "anyio.move_on_after(step.timeout_s)",
        "anyio.move_on_after(2 * step.timeout_s)",
    ),
    Mutant(
        "bodies keep their slots",
        "sdk.worker:Worker._ended",
        "self._capacity.give()",
        "pass",
    ),
    Mutant(
        "a worker that stops hands nothing back",
        "sdk.worker:Worker.hand_back",
        "await self._session.hand_back()",
        "pass",
    ),
]
