"""Durable workflows of LLM-agent containers and Python steps, event-sourced on Redis Streams."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str

    from .core.definition import Backoff
    from .core.errors import (
        AgentFailed,
        AgentTimeout,
        ClaimLost,
        DefinitionError,
        DefinitionNotFound,
        EventsLost,
        FlowError,
        InputError,
        PayloadError,
        QueueFull,
        RedisUnavailable,
        Refused,
        TaskTimeout,
        VersionConflict,
        WorkflowCancelled,
        WorkflowFailed,
        WorkflowNotFound,
    )
    from .core.outcomes import TaskError
    from .sdk.agents import Agent, AsyncAgent
    from .sdk.context import AsyncContext, Context
    from .sdk.decorators import Workflow, parallel, quorum, step, workflow
    from .sdk.handle import Handle, SyncHandle
    from .sdk.hooks import on
    from .sdk.rest import ApiError, AsyncWorkflowClient, WorkflowClient
    from .sdk.subscriber import Client, SyncClient

__all__ = [
    "Agent",
    "AgentFailed",
    "AgentTimeout",
    "ApiError",
    "AsyncAgent",
    "AsyncContext",
    "AsyncWorkflowClient",
    "Backoff",
    "ClaimLost",
    "Client",
    "Context",
    "DefinitionError",
    "DefinitionNotFound",
    "EventsLost",
    "FlowError",
    "Handle",
    "InputError",
    "PayloadError",
    "QueueFull",
    "RedisUnavailable",
    "Refused",
    "SyncClient",
    "SyncHandle",
    "TaskError",
    "TaskTimeout",
    "VersionConflict",
    "Workflow",
    "WorkflowCancelled",
    "WorkflowClient",
    "WorkflowFailed",
    "WorkflowNotFound",
    "on",
    "parallel",
    "quorum",
    "step",
    "workflow",
]

#: Where the names are.
_PLACES = ("core.errors", "core.outcomes", "sdk.decorators", "sdk.agents", "sdk.context")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a name when it is first asked for; `agentainer --help` asks for none."""
        from importlib import import_module
        from importlib.metadata import version

        if name == "__version__":
            return version("agentainer-flow")

        if name in __all__:
            for place in (
                "core.errors",
                "core.outcomes",
                "sdk.decorators",
                "sdk.agents",
                "sdk.context",
                "sdk.hooks",
                "sdk.subscriber",
                "sdk.rest",
            ):
                found = vars(import_module(f".{place}", __name__)).get(name)
                if found is not None:
                    return globals().setdefault(name, found)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
