"""Keys: each belongs to somebody, and what only a workflow under way needs ends with it.

Who owns which key is written in one place, the head of `core/keys.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from .story import Story
from .violation import KEYS, Violation

#: Parts of a workflow's keys that only one under way has.
PASSING = ("ready", "leased", "jobs", "limits", "effects", "timers", "held_jobs")

#: What the placeholders of the list stand for; others are one word without a colon.
_PLACEHOLDERS = {
    "p": r"\d+",
    "lane": r"(shared|run:[^:]+)",
    "session": r".+",
    "limit": r".+",
    "value": r"[^\x00-\x1f]*",
}

_PARTITION = re.compile(r"flow:(\d+):")


@cache
def owned(listing: str) -> re.Pattern[str]:
    """What matches the keys of a listing like that of `core/keys.py`, without their prefix."""
    spelled = re.findall(r"^ {4}((?:workflow|flow):\S+|workflow:\S+) +[A-Z]+ ", listing, re.M)
    return re.compile("|".join(map(_pattern, spelled)))


def _pattern(spelled: str) -> str:
    """`flow:<p>:workflows[:<status>]` as an expression."""
    parts = re.split(r"(<\w+>|\[|\])", spelled)
    return "".join(_part(part) for part in parts)


def _part(part: str) -> str:
    if part in "[]":
        return "(" if part == "[" else ")?" if part else ""
    if part.startswith("<"):
        return _PLACEHOLDERS.get(part[1:-1], "[^:]+")
    return re.escape(part)


def check_owned(names: Iterable[str], pattern: re.Pattern[str]) -> Iterator[Violation]:
    for name in sorted(names):
        if not pattern.fullmatch(name):
            yield Violation("", 0, KEYS, f"nobody owns key {name}")


def check_places(names: Iterable[str], partitions: int) -> Iterator[Violation]:
    """Nobody looks at keys of a partition that is none of `partitions`."""
    for name in sorted(names):
        found = _PARTITION.match(name)
        if found and int(found[1]) >= partitions:
            yield Violation("", 0, KEYS, f"key {name} is in none of the {partitions} partitions")


def check_leftovers(
    story: Story,
    lifetimes: Mapping[str, int],
    *,
    imported: bool = False,
    is_archivable: bool = False,
) -> None:
    """`lifetimes` are ms by part of the key, `` for the document, -1 for ever.

    What waits for the archive stays until it is there.
    """
    if not story.ended and not imported:
        return
    for part, left_ms in sorted(lifetimes.items()):
        if part.partition(":")[0] in PASSING:
            story.notes.say(0, KEYS, f"it has ended, and its {part} is still there")
        elif left_ms < 0 and not is_archivable:
            name = part or "document"
            story.notes.say(0, KEYS, f"it has ended, and its {name} would stay for ever")
