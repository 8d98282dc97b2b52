"""Figures of several repetitions: the median of each, and how far they spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

#: What one repetition measures, by name; the name ends with the unit.
Measured = dict[str, float]


class Figure(msgspec.Struct, frozen=True):
    """One figure over all repetitions."""

    median: float
    min: float
    max: float


def spread(repetitions: Sequence[Measured]) -> dict[str, Figure]:
    """Merge repetitions that measured the same."""
    return {name: figure([one[name] for one in repetitions]) for name in repetitions[0]}


def figure(values: Sequence[float]) -> Figure:
    median, low, high = (_short(f(values)) for f in (statistics.median, min, max))
    return Figure(median, low, high)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _short(value: float) -> float:
    """Four digits are more than repetitions have in common."""
    return float(f"{value:.4g}")
