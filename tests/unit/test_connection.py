"""Which answers of Redis waiting can cure."""

from __future__ import annotations

import pytest
from redis import exceptions

from agentainer_flow.core.connection import is_passing

#: How Redis 6.2 answers a script that may not write.
IN_SCRIPT = "Error running script (call to f_b2da): @user_script:284: @user_script: 284: -"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("Connection reset by peer"),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots, but"),
        exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
        exceptions.ResponseError(
            f"{IN_SCRIPT}OOM command not allowed when used memory > 'maxmemory'."
        ),
        exceptions.ResponseError(
            f"{IN_SCRIPT}READONLY You can't write against a read only replica."
        ),
        exceptions.ResponseError(
            f"{IN_SCRIPT}MISCONF Redis is configured to save RDB snapshots, but"
        ),
    ],
    ids=str,
)
def test_a_state_that_passes_is_waited_for(error: exceptions.RedisError) -> None:
    assert is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ResponseError("WRONGTYPE Operation against a key"),
        exceptions.ResponseError(f"{IN_SCRIPT}WRONGTYPE Operation against a key"),
        exceptions.ResponseError("Error running script: attempt to index a nil value"),
    ],
    ids=str,
)
def test_what_no_waiting_cures_is_not(error: exceptions.RedisError) -> None:
    assert not is_passing(error)
