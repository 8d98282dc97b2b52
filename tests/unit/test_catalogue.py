"""The page about events is made from the table of events."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.catalogue import markdown

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == markdown(), "run `python -m agentainer_flow.core.catalogue`"


@pytest.mark.parametrize("event", e.EVENTS.values(), ids=lambda event: event.type)
def test_every_event_says_what_happened(event: type[e.Event]) -> None:
    noun, _, verb = event.type.partition(".")

    assert noun
    assert verb.endswith("ed") or verb in ("lost", "timed_out")
    assert event.__doc__
