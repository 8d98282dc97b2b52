"""Read NAME=VALUE options."""

from __future__ import annotations

from typing import Any

import msgspec
import typer


def read_values(pairs: list[str] | None, option: str) -> dict[str, Any]:
    """Values by name. A value that is not JSON is text. Raises typer.BadParameter."""
    values: dict[str, Any] = {}
    for pair in pairs or []:
        name, given, text = pair.partition("=")
        if not given or not name:
            raise typer.BadParameter(f"expected NAME=VALUE, got {pair!r}", param_hint=option)
        if name in values:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint=option)
        values[name] = read_value(text)
    return values


def read_value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
