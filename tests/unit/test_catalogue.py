"""The documents about events are made from the table of events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentainer_flow.core import catalogue
from agentainer_flow.core import events as e
from agentainer_flow.core.catalogue import markdown

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "events.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == markdown(), "run `python -m agentainer_flow.core.catalogue`"


@pytest.mark.parametrize("event", e.EVENTS.values(), ids=lambda event: event.type)
def test_every_event_says_what_happened(event: type[e.Event]) -> None:
    noun, _, verb = event.type.partition(".")

    assert noun
    assert verb.endswith("ed") or verb in ("lost", "timed_out")
    assert event.__doc__


@pytest.mark.parametrize(
    ("name", "make"),
    [("events.schema.json", catalogue.schemas), ("asyncapi.json", catalogue.asyncapi)],
)
def test_documents_are_up_to_date(name: str, make: Callable[[], dict[str, Any]]) -> None:
    stored = (ROOT / "docs" / name).read_text()
    assert json.loads(stored) == make(), f"python -m agentainer_flow.core.catalogue > docs/{name}"


def test_every_reference_of_the_documents_leads_somewhere() -> None:
    for document in (catalogue.asyncapi(), catalogue.schemas()):
        for target in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document)):
            found: Any = document
            for part in target.split("/"):
                found = found[part]
            assert found
