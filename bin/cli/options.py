"""Arguments and options that several commands take. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.sizes import parse_size

REFERENCE = "MODULE:CLASS or FILE.py:CLASS; without CLASS the only workflow class that is there."

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

AsJsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON document per line.")]

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="Id of a workflow, its unique beginning, or `last` for the newest; where it is only "
        "looked at, also the file of an exported one.",
    ),
]

Reference = Annotated[str, typer.Argument(metavar="MODULE:CLASS", help=REFERENCE)]

References = Annotated[
    list[str],
    typer.Argument(
        metavar="MODULE:CLASS...",
        help="MODULE:CLASS or FILE.py:CLASS; without CLASS all workflow classes that are there.",
    ),
]

SomeReferences = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODULE:CLASS...",
        help="MODULE:CLASS or FILE.py:CLASS; without CLASS all workflow classes that are there.",
    ),
]

TaskSlots = Annotated[
    int | None, typer.Option(min=1, help="Tasks to run at a time [AGENTAINER_SLOTS].")
]

AgentSlots = Annotated[
    int | None, typer.Option(min=1, help="Agents to run at a time [AGENTAINER_AGENT_SLOTS].")
]


def _read_size(text: str) -> int:
    """Raises typer.BadParameter."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


AgentMemory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        parser=_read_size,
        metavar="SIZE",
        help="What agents that run at a time may have together, such as 8g "
        "[AGENTAINER_AGENT_MEMORY].",
    ),
]

Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Serve the HTTP API on this port; 0 takes a free one."),
]

MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Serve metrics for Prometheus on this port of 127.0.0.1; 0 takes a free one.",
    ),
]

Host = Annotated[
    str, typer.Option(help="Address of the HTTP API; one that is not loopback needs tokens.")
]

#: For the children of a supervisor: stop when stdin ends.
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True)]

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NAME=VALUE",
        help="An input of the run: JSON, or text when it is not JSON. May be repeated.",
    ),
]

Init = Annotated[
    list[str] | None,
    typer.Option(
        "--init",
        metavar="NAME=VALUE",
        help="An argument of the class's constructor, as with --input. May be repeated.",
    ),
]

Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=VALUE", help="A tag of the run. May be repeated."),
]

#: As in the listing; `projections.workflow.WorkflowStatus` has the same.
STATUSES = "created, running, paused, failing, cancelling, completed, failed or cancelled"

StatusIs = Annotated[
    str | None,
    typer.Option("--status", metavar="STATUS", help=f"Only those that are {STATUSES}."),
]

NameIs = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Only runs of this definition.")
]

TagIs = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=VALUE", help="Only runs with this tag. May be repeated."),
]

Since = Annotated[
    str | None,
    typer.Option(metavar="AGE|TIME", help="Only runs created since then, such as 2h or 3d."),
]

Before = Annotated[
    str | None, typer.Option(metavar="AGE|TIME", help="Only runs created before then.")
]

OlderThan = Annotated[
    str | None, typer.Option(metavar="AGE", help="Only runs created longer ago than this.")
]

Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with what comes, until the workflow ends.")
]
