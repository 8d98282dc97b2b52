"""Settings that people write as texts."""

from __future__ import annotations

import pytest

from agentainer_flow.core.errors import SettingsError
from agentainer_flow.core.settings import load_settings


def test_lifetimes_may_be_texts() -> None:
    environ = {"AGENTAINER_LOG_TTL": "90d", "AGENTAINER_STATE_TTL": "60"}
    settings = load_settings(environ)
    assert (settings.log_ttl, settings.state_ttl) == (7_776_000, 60)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("AGENTAINER_LOG_TTL", "soon", "expected seconds or a text like 90s"),
        ("AGENTAINER_STATE_TTL", "0s", "state_ttl must be above 0"),
        ("AGENTAINER_SNAPSHOT_EVERY", "-1", "snapshot_every must not be below 0"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load_settings({name: text})
