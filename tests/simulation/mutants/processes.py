"""Bugs in what processes have in common: connections, sessions, bells, timers."""

from __future__ import annotations

from ..planting import Mutant

PROCESSES = [
    Mutant(
        "an answer of a connection that was given up goes to who waits now",
        "core.memory.connection:MemoryLine.close",
        "self._owner = None",
        "pass",
    ),
    Mutant(
        "a clock does not hear of timers",
        "reactors.clock:Clock._hear",
        "self._wake.set()",
        "pass",
    ),
    Mutant(
        "who stops does not wait for its tasks",
        "sdk.service:Service.run",
        "await self._in_all(PartitionRoles.drain)",
        "pass",
    ),
    Mutant(
        "a process that ends takes its lane along",
        "sdk.runner:_Runner._let_go",
        "if ended or not created:",
        "if True:",
    ),
    Mutant(
        "leases are renewed after they have ended",
        "reactors.session:Heartbeat.__init__",
        "lease / 3",
        "lease * 2",
    ),
]
