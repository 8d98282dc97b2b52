"""Durations as people write them: `90`, `90s`, `15m`, `2h`, `3d`, `1.5h`, `2w`."""

from __future__ import annotations

import re

_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)?", re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(duration: object) -> float:
    """Seconds of a number or a text; without a unit they are seconds.

    Raises ValueError with expected and got.
    """
    match duration:
        case bool():
            pass
        case int() | float():
            return float(duration)
        case str() if found := _TEXT.fullmatch(duration.strip()):
            return float(found[1]) * _UNITS[(found[2] or "s").lower()]
        case _:
            pass
    raise ValueError(f"expected seconds or a text like 90s, 15m, 2h or 7d, got {duration!r}")
