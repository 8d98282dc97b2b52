"""No crash at any call of a script does harm, before it or after it."""

from __future__ import annotations

import pytest

from .plan import CallKind
from .report import story_of
from .run import simulate
from .sweep import KINDS, REFERENCES, plans


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFERENCES)
def test_a_crash_at_any_call_does_no_harm(name: str, kind: CallKind) -> None:
    for plan in plans(name, kind):
        outcome = simulate(plan)
        assert not outcome.problems, "\n".join(story_of(outcome))
