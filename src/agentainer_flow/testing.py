"""Test workflows in milliseconds, without Redis and containers: see docs/guides/testing.md."""

from .core.errors import WorkflowCancelled, WorkflowFailed
from .sdk.testing.agents import AgentCall, AgentFailure, MockAgent, UnknownAgent, mock_agent
from .sdk.testing.assertions import RunAssertions, assert_that
from .sdk.testing.faults import Fault, fail, lose_worker, slow
from .sdk.testing.local import LocalEngine, arun_local, run_local
from .sdk.testing.real import RedisEngine
from .sdk.testing.record import NotSo, WorkflowRun, load_run, read_run
from .sdk.testing.runs import LocalRun, NeverHeld

__all__ = [
    "AgentCall",
    "AgentFailure",
    "Fault",
    "LocalEngine",
    "LocalRun",
    "MockAgent",
    "NeverHeld",
    "NotSo",
    "RedisEngine",
    "RunAssertions",
    "UnknownAgent",
    "WorkflowCancelled",
    "WorkflowFailed",
    "WorkflowRun",
    "arun_local",
    "assert_that",
    "fail",
    "load_run",
    "lose_worker",
    "mock_agent",
    "read_run",
    "run_local",
    "slow",
]
