"""How repetitions become figures, and figures a table."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figure, percentile, spread
from benchmarks.table import table
from benchmarks.targets import TARGETS, Target, target_of


def test_repetitions_become_their_median_and_how_far_they_spread() -> None:
    assert spread([{"x_ms": 3}, {"x_ms": 1}, {"x_ms": 2}]) == {"x_ms": Figure(2, 1, 3)}


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (100, 100), (1, 1)])
def test_a_percentile_is_one_of_the_values(percent: int, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_a_target_has_a_bound_of_its_own_where_every_write_is_synced() -> None:
    target = Target("chain", "p50_ms", "at most", 1, 2)
    figures = {"p50_ms": Figure(1.5, 1, 2)}
    assert not target.is_met("everysec", figures)
    assert target.is_met("always", figures)


def test_no_figure_has_two_targets() -> None:
    assert all(target_of(one.benchmark, one.figure) is one for one in TARGETS)


def test_the_table_says_per_setting_whether_a_target_is_met() -> None:
    fast, slow = Figure(900, 850, 1000), Figure(700, 700, 700)
    results = {"many": {"everysec": {"workflows_per_s": fast}, "always": {"workflows_per_s": slow}}}
    row = table(results, ["everysec", "always"]).splitlines()[-1]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[1:-1] == ["many", "workflows_per_s", "900 (850-1,000)", "700", "≥ 800", "yes, no"]


def test_the_table_shows_what_could_not_be_measured_as_a_dash() -> None:
    results = {"fold": {"everysec": {"events": Figure(1, 1, 1)}, "always": {}}}
    assert "| 1        | -      |" in table(results, ["everysec", "always"])
