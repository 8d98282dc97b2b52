"""The code of container graphs, which every worker has: a step deploys an agent and waits."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.definition import ContainerSpec, Definition
from ..core.errors import DefinitionError
from ..core.log import EventLog
from .container_graph import ITEM
from .context import AsyncContext
from .graph import StepCode, WorkflowCode
from .templates import fill, fill_text

#: Under this name workers claim the steps of all container graphs, whatever theirs is.
EXECUTOR = "@containers"
#: In a worker's list of steps: any.
ANY = "*"


class ContainerWorkflow:
    """A run of a container graph; `definition` is the digest of the graph."""

    log: EventLog

    def __init__(self, definition: str) -> None:
        self._digest = definition

    async def carry_out(self, context: AsyncContext, /, **given: Any) -> Any:
        """The body of every step: launch its container, return what it answers."""
        definition = await self.log.get_definition(self._digest)
        spec = definition.by_id[context.step_id].container
        if spec is None:
            raise DefinitionError(definition.name, "is no container step", step=context.step_id)
        scope = _scope(context, given)
        agent = await context.deploy_agent(
            "agent",
            fill_text(spec.image, scope),
            env={name: fill_text(text, scope) for name, text in spec.env.items()},
            secrets=spec.secrets,
            command=_command(spec, scope),
            input=_input(spec, scope),
            network=spec.network,
            memory=spec.memory_bytes,
            cpus=spec.cpus,
            pids=spec.pids,
            timeout=spec.timeout_s,
            grace=spec.grace_s,
        )
        return await agent.wait()


def _scope(context: AsyncContext, given: dict[str, Any]) -> dict[str, Any]:
    """What texts of the step can refer to."""
    results = {name: _builtin(value) for name, value in given.items() if name != ITEM}
    scope: dict[str, Any] = {
        "input": context.input,
        "results": results,
        "index": context.index,
        "workflow_id": context.workflow_id,
    }
    return {**scope, "item": given[ITEM]} if ITEM in given else scope


def _builtin(value: Any) -> Any:
    """Errors among collected results as they are in JSON."""
    return msgspec.to_builtins(value)


def _command(spec: ContainerSpec, scope: dict[str, Any]) -> list[str] | None:
    return None if spec.command is None else [fill_text(part, scope) for part in spec.command]


def _input(spec: ContainerSpec, scope: dict[str, Any]) -> Any:
    if spec.input is not None:
        return fill(msgspec.json.decode(spec.input), scope)
    handed = {name: scope[name] for name in ("input", "results", "item") if name in scope}
    return msgspec.to_builtins(handed)


class _AnyStep(dict[str, StepCode]):
    """The code of any step there may be; it lists itself as ANY."""

    def __init__(self) -> None:
        super().__init__({ANY: self[ANY]})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> StepCode:
        return StepCode(name, ContainerWorkflow.carry_out.__name__, is_async=True, parameters={})

    def get(self, name: str, default: Any = None) -> StepCode:
        return self[name]


def container_code(log: EventLog) -> WorkflowCode:
    """The built-in code, bound to the log that it reads definitions from."""
    bound = type(ContainerWorkflow.__name__, (ContainerWorkflow,), {"log": log})
    return WorkflowCode(bound, Definition(EXECUTOR, ()), _AnyStep(), "container graphs")
