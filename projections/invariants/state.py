"""The state of one workflow, computed from what its log says was changed."""

from __future__ import annotations

import math
from typing import Any

from .entries import Entry
from .violation import Notes

_MISSING = object()


class State:
    """Key -> value. A value that lies beside the log, and what is made of one, is not known."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.values: dict[str, Any] = {}
        self.unknown: set[str] = set()

    def updated(self, entry: Entry) -> None:
        for change in entry.data.get("changes", []):
            self._change(entry, change["key"], change)

    def _change(self, entry: Entry, key: str, change: dict[str, Any]) -> None:
        old = self.values.get(key, _MISSING)
        if change["op"] == "delete":
            self.values.pop(key, None)
            self.unknown.discard(key)
        elif "blob" in change:
            self.unknown.add(key)
        elif change["op"] == "append":
            items: list[Any] = [] if old is _MISSING else old
            self.values[key] = [*items, change.get("value")]
        else:
            if change["op"] == "incr":
                self._check_sum(entry, key, old, change)
            else:
                self.unknown.discard(key)
            self.values[key] = change.get("value")

    def _check_sum(self, entry: Entry, key: str, old: Any, change: dict[str, Any]) -> None:
        """An increment says what it added and what came out: an update lost in between shows."""
        before = 0 if old is _MISSING else old
        expected = before + change.get("by", 0)
        if not math.isclose(expected, change.get("value", math.nan), rel_tol=1e-12):
            text = f"state {key!r} was {before}, adding {change.get('by')} gives {expected}"
            self._notes.say(entry.version, 2, f"{text} and not {change.get('value')}")
