"""Check one log."""

from __future__ import annotations

from collections.abc import Iterable

from .entries import Entry, Raw, read_entries
from .graph import Graph
from .story import Story
from .violation import Notes, Violation


def check_log(workflow: str, raw: Iterable[Raw], graph: Graph | None = None) -> list[Violation]:
    """What is wrong with the raw entries of a log, the first entry first."""
    story, _ = tell(workflow, raw, graph)
    return sorted(story.notes.found)


def tell(
    workflow: str, raw: Iterable[Raw], graph: Graph | None = None
) -> tuple[Story, list[Entry]]:
    """The story of a log, with what is wrong with it in its notes."""
    notes = Notes(workflow)
    entries = read_entries(notes, raw)
    return Story(notes, graph or Graph()).tell(entries), entries
