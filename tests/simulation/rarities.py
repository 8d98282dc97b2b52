"""What only some runs have, by a chance of its own: whatever else a seed stands for stays."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from . import rare_bugs as bugs
from . import rare_faults as faults
from . import rare_takeovers as takeovers
from . import rare_workflows as workflows
from .plan import Plan

Change = Callable[[Plan, Random], Plan]


def with_rarities(plan: Plan, chance: Random) -> Plan:
    for often, change in RARITIES:
        if chance.random() < often:
            plan = change(plan, chance)
    return plan


#: How often a run has each.
RARITIES: list[tuple[float, Change]] = [
    (0.25, workflows.slow_retries),
    (0.1, workflows.impatience),
    (0.06, workflows.time_limit),
    (0.05, workflows.deadly_step),
    (0.08, workflows.stopped_agents),
    (0.06, workflows.slow_agents),
    (0.08, workflows.little_memory),
    (0.1, workflows.writes),
    (0.08, workflows.limit_of_all),
    (0.14, workflows.older_code),
    (0.18, faults.standstill),
    (0.12, faults.late_call),
    (0.08, faults.late_commit),
    (0.08, faults.crossing),
    (0.08, faults.lost_reply),
    (0.15, faults.calm),
    (0.07, takeovers.alone),
    (0.07, workflows.rush),
    (0.05, faults.crossed_failure),
    (0.06, workflows.portions),
    (0.08, workflows.other_changes),
    (0.05, takeovers.frozen_handover),
    (0.12, faults.calm),
    (0.04, faults.stops),
    (0.06, faults.rollback),
    (0.04, faults.short_rollbacks),
    (0.03, faults.forgotten_end),
    (0.05, takeovers.late_write),
    (0.08, faults.unheard_write),
    (0.04, workflows.pause_of_agents),
    (0.05, takeovers.handover),
    (0.03, faults.quiet),
    (0.025, takeovers.reclaimed),
    (0.03, faults.stops),
    (0.02, faults.in_vain),
    (0.02, faults.long_queue),
    (0.03, faults.forgotten_agents),
    (0.03, takeovers.late_engine),
    (0.015, bugs.lane_back),
    (0.015, bugs.both_follow),
    (0.015, bugs.unwanted),
]
