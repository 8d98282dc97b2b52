"""Durations as people write them."""

from __future__ import annotations

import pytest

from agentainer_flow.core.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90),
        (1.5, 1.5),
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("15min", 900),
        ("1.5 h", 5400),
        ("3d", 259_200),
        ("2w", 1_209_600),
    ],
)
def test_reads_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "3 months", "-1h", True, None, "h"])
def test_refuses_what_is_none(text: object) -> None:
    with pytest.raises(ValueError, match="expected seconds or a text like 90s"):
        parse_duration(text)
