"""The commands that serve: all roles in one process, or each in its own. Imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from .importing import importing
from .options import (
    AgentMemory,
    AgentSlots,
    Host,
    MetricsPort,
    Port,
    References,
    SomeReferences,
    Supervised,
    TaskSlots,
)


class Only(StrEnum):
    scheduler = "scheduler"
    clock = "clock"
    janitor = "janitor"
    tracer = "tracer"
    launcher = "launcher"


def up(
    references: SomeReferences = None,
    slots: TaskSlots = None,
    agent_slots: AgentSlots = None,
    memory: AgentMemory = None,
    processes: Annotated[
        int,
        typer.Option(min=1, help="Serve with this many processes; one that dies is replaced."),
    ] = 1,
    port: Port = None,
    host: Host = "127.0.0.1",
    metrics_port: MetricsPort = None,
    supervised: Supervised = False,
) -> None:
    """Serve workflows until stopped.

    Schedules them, runs their steps and launches their agents. Without classes it runs only those
    whose steps are containers.

    SIGTERM or Ctrl-C lets running tasks end (AGENTAINER_GRACE), hands over what is left and ends
    with 0; a second one ends at once.

    With --port metrics are at /metrics of the API. With --processes each process serves its own,
    on ports that count up from --metrics-port.

    \b
    Examples:
      agentainer up shop.orders:OrderWorkflow
      agentainer up examples/data_processing.py --agent-slots 4 --memory 8g
      agentainer up shop.orders --processes 4
      agentainer up shop.orders --port 8000
      agentainer up shop.orders --processes 4 --metrics-port 9100
    """
    if processes > 1:
        from .supervisor import supervise

        if port is not None:
            raise typer.BadParameter("with --processes serve the API by `agentainer serve`")
        supervise(
            references or [],
            processes=processes,
            slots=slots,
            agent_slots=agent_slots,
            agent_memory=memory,
            metrics_port=metrics_port,
        )
        return
    with importing():
        from ..sdk.service import ROLES
        from .serving import serve

    serve(
        ROLES,
        references or [],
        slots=slots,
        agent_slots=agent_slots,
        agent_memory=memory,
        address=None if port is None else (host, port),
        metrics_port=metrics_port,
        supervised=supervised,
    )


def reactors(
    only: Annotated[
        list[Only] | None, typer.Option(help="Have this role. May be repeated.")
    ] = None,
    agent_slots: AgentSlots = None,
    memory: AgentMemory = None,
    metrics_port: MetricsPort = None,
    supervised: Supervised = False,
) -> None:
    """Schedule workflows, without running steps or agents.

    The roles are scheduler, clock and janitor unless --only says which. Several schedulers share
    the partitions (AGENTAINER_PARTITIONS); those for which there is none stand by. With a scheduler
    comes a tracer where the environment names a collector (OTEL_EXPORTER_OTLP_ENDPOINT).

    \b
    Examples:
      agentainer reactors
      agentainer reactors --only janitor --only clock
    """
    with importing():
        from ..sdk.service import REACTORS
        from .serving import serve

    serve(
        [one.value for one in only] if only else REACTORS,
        agent_slots=agent_slots,
        agent_memory=memory,
        metrics_port=metrics_port,
        supervised=supervised,
    )


def worker(
    references: References, slots: TaskSlots = None, metrics_port: MetricsPort = None
) -> None:
    """Run the steps of workflow classes, and those that are containers.

    SIGTERM or Ctrl-C lets running tasks end (AGENTAINER_GRACE) and hands back the others.

    \b
    Examples:
      agentainer worker shop.orders:OrderWorkflow --slots 8
    """
    with importing():
        from .serving import serve

    serve(["worker"], references, slots=slots, metrics_port=metrics_port)


def launcher(
    slots: AgentSlots = None, memory: AgentMemory = None, metrics_port: MetricsPort = None
) -> None:
    """Run agents on this host.

    Each counts with the memory that its step asks for, else with 512 MiB. The next one waits until
    it fits; one that never does is left to larger launchers.

    SIGTERM or Ctrl-C leaves running agents to the next launcher on this host.

    \b
    Examples:
      agentainer launcher --slots 4 --memory 8g
    """
    with importing():
        from .serving import serve

    serve(["launcher"], agent_slots=slots, agent_memory=memory, metrics_port=metrics_port)


def serve(references: SomeReferences = None, port: Port = 8000, host: Host = "127.0.0.1") -> None:
    """Serve the HTTP API, without running anything.

    Creates, shows and steers workflows, and streams their events. The classes are optional: with
    their code at hand inputs are checked when a workflow is created.

    \b
    Examples:
      agentainer serve
      agentainer serve --port 8080
      agentainer serve shop.orders --host 0.0.0.0
    """
    with importing():
        from .serving import serve as serve_roles

    serve_roles([], references or [], address=(host, 8000 if port is None else port))
