"""The schema number that scripts write is that of the catalogue."""

from __future__ import annotations

import re
from importlib import resources

from agentainer_flow import core
from agentainer_flow.projections.catalogue import BY_NAME, STATE


def test_scripts_and_catalogue_agree() -> None:
    text = (resources.files(core) / "lua" / "parts" / "listings.lua").read_text()
    found = re.search(r"local STATE_SCHEMA = (\d+)", text)
    assert found
    assert int(found[1]) == BY_NAME[STATE].schema
