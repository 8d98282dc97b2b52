"""Say what an event changed: a path, what was there and what is."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.text import Text

from ..core.events import Blob
from ..projections.brief import cut
from ..projections.history import Change


def change_text(change: Change) -> Text:
    text = Text(change.path, style="bold").append("  ", style="default")
    if change.before is not msgspec.UNSET:
        text.append(value_text(change.before), style="red").append(" -> ", style="default")
    if change.after is msgspec.UNSET:
        return text.append("gone", style="red")
    return text.append(value_text(change.after), style="green")


def value_text(value: Any) -> str:
    if isinstance(value, Blob):
        return f"<{value.size} bytes beside the log>"
    return value if isinstance(value, str) else cut(msgspec.json.encode(value).decode())
