"""Durable workflows of LLM-agent containers and Python steps, event-sourced on Redis Streams."""

from .core.errors import (
    AgentFailed,
    AgentTimeout,
    ClaimLost,
    DefinitionError,
    FlowError,
    InputError,
    PayloadError,
    RedisUnavailable,
    Refused,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowNotFound,
)
from .sdk.agents import Agent, AsyncAgent
from .sdk.context import AsyncContext, Context
from .sdk.decorators import Workflow, parallel, step, workflow
from .sdk.handle import Handle, SyncHandle

__all__ = [
    "Agent",
    "AgentFailed",
    "AgentTimeout",
    "AsyncAgent",
    "AsyncContext",
    "ClaimLost",
    "Context",
    "DefinitionError",
    "FlowError",
    "Handle",
    "InputError",
    "PayloadError",
    "RedisUnavailable",
    "Refused",
    "SyncHandle",
    "Workflow",
    "WorkflowCancelled",
    "WorkflowFailed",
    "WorkflowNotFound",
    "parallel",
    "step",
    "workflow",
]
