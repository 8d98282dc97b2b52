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


def read_tags(pairs: list[str] | None) -> dict[str, str]:
    """Tags by key; the key ends at the first `=`. Raises typer.BadParameter."""
    tags: dict[str, str] = {}
    for pair in pairs or []:
        key, given, value = pair.partition("=")
        if not given or not key:
            raise typer.BadParameter(f"expected KEY=VALUE, got {pair!r}", param_hint="--tag")
        if key in tags:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint="--tag")
        tags[key] = value
    return tags


def read_value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
