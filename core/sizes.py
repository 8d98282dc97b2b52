"""Sizes as people write them: `1073741824`, `512m`, `1.5g`, `8 GiB`."""

from __future__ import annotations

import re

_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NAMES = ("bytes", "KiB", "MiB", "GiB", "TiB")
#: More than any host has, and still a number that every reader of JSON can tell.
LARGEST = 1 << 50


def parse_size(size: object) -> int:
    """Bytes of a whole number or a text, units are powers of 1024.

    Raises ValueError with expected and got.
    """
    number = _read(size) if isinstance(size, str) else size
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"expected bytes or a text like 512m or 8g, got {size!r}")
    if not 0 <= number <= LARGEST:
        raise ValueError(f"expected a size from 0 to {say_size(LARGEST)}, got {size!r}")
    return number


def _read(text: str) -> int | None:
    match = _TEXT.fullmatch(text.strip())
    return int(float(match[1]) * _UNITS[match[2].lower()]) if match else None


def say_size(size: int) -> str:
    """`512 MiB`, `1.5 GiB`, `100 bytes`."""
    unit = 0
    number = float(size)
    while number >= 1024 and unit < len(_NAMES) - 1:
        number /= 1024
        unit += 1
    return f"{number:.4g} {_NAMES[unit]}"
