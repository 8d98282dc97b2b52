"""The schema numbers that scripts write are those of the catalogue."""

from __future__ import annotations

import re
from importlib import resources

from agentainer_flow import core
from agentainer_flow.projections.catalogue import BY_NAME, LISTINGS, STATE


def test_scripts_and_catalogue_agree() -> None:
    text = (resources.files(core) / "lua" / "parts" / "listings.lua").read_text()
    found = re.search(r"local STATE_SCHEMA, LISTINGS_SCHEMA = (\d+), (\d+)", text)
    assert found
    assert [int(number) for number in found.groups()] == [
        BY_NAME[STATE].schema,
        BY_NAME[LISTINGS].schema,
    ]
