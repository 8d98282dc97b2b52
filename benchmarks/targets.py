"""What the figures are meant to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .figures import Figure


@dataclass(frozen=True)
class Target:
    """A bound on the median of a figure, apart for a server that syncs every write."""

    benchmark: str
    figure: str
    is_met_when: Literal["at least", "at most"]
    bound: float
    bound_always: float | None = None

    def bound_for(self, fsync: str) -> float:
        if fsync == "always" and self.bound_always is not None:
            return self.bound_always
        return self.bound

    def is_met(self, fsync: str, figures: Mapping[str, Figure]) -> bool:
        median, bound = figures[self.figure].median, self.bound_for(fsync)
        return median >= bound if self.is_met_when == "at least" else median <= bound

    def __str__(self) -> str:
        sign = "≥" if self.is_met_when == "at least" else "≤"
        always = "" if self.bound_always is None else f" (always {self.bound_always:g})"
        return f"{sign} {self.bound:g}{always}"


TARGETS = (
    Target("fanout", "async_to_bare_ratio", "at least", 0.3),
    Target("fanout", "plain_to_bare_ratio", "at least", 0.3),
    Target("chain", "across_async_p50_ms", "at most", 1.0, 2.0),
    Target("chain", "across_plain_p50_ms", "at most", 1.0, 2.0),
    Target("chain", "in_process_async_p50_ms", "at most", 0.25, 1.25),
    Target("chain", "in_process_plain_p50_ms", "at most", 0.25, 1.25),
    Target("many", "workflows_per_s", "at least", 800),
    Target("many", "redis_per_workflow_bytes", "at most", 12_000),
    Target("scaling", "cost_growth_ratio", "at most", 1.25),
    Target("scaling", "largest_peak_mb", "at most", 300),
    Target("W-40", "overhead_ms", "at most", 60),
    Target("containers", "one_at_a_time_overhead_p50_ms", "at most", 15),
    Target("containers", "eight_at_a_time_overhead_p50_ms", "at most", 15),
    Target("containers", "adopted_s", "at most", 5),
    Target("containers", "relaunched", "at most", 0),
    Target("fold", "replay_events_per_s", "at least", 200_000),
    Target("telemetry", "traced_to_plain_ratio", "at least", 0.9),
    Target("fold", "verify_events_per_cpu_s", "at least", 100_000),
)


def target_of(benchmark: str, figure: str) -> Target | None:
    found = (one for one in TARGETS if (one.benchmark, one.figure) == (benchmark, figure))
    return next(found, None)
