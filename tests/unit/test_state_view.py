"""State is folded without fetching what lies beside the log, and loses nothing of it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core.events import Blob, StateChange
from agentainer_flow.projections.state import StateValue, apply_change, whole

#: (op, size of the text that is set or appended, whether it lies beside the log)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "append", "delete"]), st.integers(0, 5), st.booleans())
)


@given(CHANGES)
def test_values_can_be_made_whole(story: list[tuple[Any, int, bool]]) -> None:
    state: dict[str, StateValue] = {}
    payloads: dict[str, bytes] = {}
    expected: list[str] | None = None
    for op, size, is_large in story:
        item = "x" * size
        value: object = [item] if op == "set" else item
        apply_change(state, change_of(op, msgspec.json.encode(value), is_large, payloads))
        expected = {"set": [item], "append": [*(expected or []), item], "delete": None}[op]

    found = {key: msgspec.json.decode(whole(value, payloads)) for key, value in state.items()}
    assert found == ({} if expected is None else {"k": expected})


def change_of(op: Any, data: bytes, is_large: bool, payloads: dict[str, bytes]) -> StateChange:
    if not is_large:
        return StateChange(op, "k", msgspec.Raw(data))
    name = f"digest of {data.decode()}"
    payloads[name] = data
    return StateChange(op, "k", blob=Blob(name, len(data)))
