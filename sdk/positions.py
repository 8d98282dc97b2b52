"""Where a follower of all workflows stands, as a text that it can come back with.

f:<entry id>.<n>_<entry id>.<n>…~<ms>   on the feeds, one part per partition: after the first n
                                        events of that entry (n left out: after all of it);
                                        events up to <ms>, if it is given, came before
s:<ms>:<created ms>:<id>:<v>@f:…        in what was stored, up to the moment <ms>: after version
                                        v of that workflow; afterwards the feeds go on from f:…
"""

from __future__ import annotations

import re

import msgspec

_PLACE = re.compile(r"(\d{1,15}-\d{1,19})(?:\.(\d{1,9}))?")
_FEEDS = re.compile(r"f:([\d._-]+)(?:~(\d{1,15}))?")
_STORED = re.compile(r"s:(\d{1,15}):(\d{1,15}):([^:\s]{0,100}):(\d{1,15})@(f:\S+)")

#: As `n`: the whole entry.
ALL = 0
#: Times of events and ids of entries are of one clock, read within one call of a script.
SLACK_MS = 1000


class BadPosition(ValueError):
    """Raised when a text is no position."""


class Place(msgspec.Struct, frozen=True):
    """After the first `events` (ALL: all) of an entry of one feed."""

    id: str
    events: int = ALL


class FeedPosition(msgspec.Struct, frozen=True):
    """One place per partition. Events up to `since_ms` came before."""

    places: tuple[Place, ...]
    since_ms: int = 0

    def moved(self, partition: int, place: Place, ts: int) -> FeedPosition:
        """After an entry of that time. Once time has passed for good, `since_ms` says no more."""
        places = (*self.places[:partition], place, *self.places[partition + 1 :])
        return FeedPosition(places, 0 if ts > self.since_ms + SLACK_MS else self.since_ms)

    def __str__(self) -> str:
        parts = [f"{one.id}.{one.events}" if one.events else one.id for one in self.places]
        return f"f:{'_'.join(parts)}" + (f"~{self.since_ms}" if self.since_ms else "")


class StoredPosition(msgspec.Struct, frozen=True):
    """After `version` of `workflow`, going through what is stored; then the feeds follow."""

    feeds: FeedPosition
    created_ms: int = 0
    workflow: str = ""
    version: int = 0

    @property
    def until_ms(self) -> int:
        return self.feeds.since_ms

    def __str__(self) -> str:
        feeds = FeedPosition(self.feeds.places)
        return f"s:{self.until_ms}:{self.created_ms}:{self.workflow}:{self.version}@{feeds}"


Position = FeedPosition | StoredPosition


def parse_position(text: str, partitions: int) -> Position:
    """Raises BadPosition."""
    if match := _STORED.fullmatch(text):
        feeds = _parse_feeds(match[5], partitions)
        since = FeedPosition(feeds.places, int(match[1]))
        return StoredPosition(since, int(match[2]), match[3], int(match[4]))
    return _parse_feeds(text, partitions)


def _parse_feeds(text: str, partitions: int) -> FeedPosition:
    match = _FEEDS.fullmatch(text)
    parts = [_PLACE.fullmatch(part) for part in match[1].split("_")] if match else []
    places = tuple(Place(part[1], int(part[2] or ALL)) for part in parts if part)
    if match is None or len(places) != len(parts) or len(places) != partitions:
        raise BadPosition(f"{text!r} is not the id of an event of this stream")
    return FeedPosition(places, int(match[2] or 0))


def entry_order(id: str) -> tuple[int, int]:
    ms, _, count = id.partition("-")
    return int(ms), int(count)
