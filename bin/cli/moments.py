"""Moments as people write them: an age such as `2h`, or a date and time by ISO 8601."""

from __future__ import annotations

from datetime import datetime

import typer

from ..core.durations import parse_duration


def read_moment(text: str, option: str, now_ms: int) -> int:
    """Ms since the epoch; an age counts back from now. Raises typer.BadParameter."""
    try:
        return now_ms - read_age(text, option)
    except typer.BadParameter:
        pass
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise typer.BadParameter(
            f"expected an age such as 90s, 2h or 3d, or a time such as 2026-05-04T10:30:00, "
            f"got {text!r}",
            param_hint=option,
        ) from None


def read_age(text: str, option: str) -> int:
    """Ms of an age with its unit. Raises typer.BadParameter."""
    try:
        if text.isascii() and text.isdigit():
            raise ValueError(f"expected an age with its unit, such as 90s, 2h or 3d, got {text!r}")
        return int(parse_duration(text) * 1000)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
