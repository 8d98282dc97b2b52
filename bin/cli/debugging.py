"""Verbs of `agentainer workflow` that look into what happened, and that do it again.

Imports nothing heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, AsJsonLines, Id, Inputs


def why(
    id: Id,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="Only this step.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say why a workflow and its steps wait, failed or never began.

    One sentence each; where the trouble began is told in red.

    \b
    Examples:
      agentainer workflow why last
      agentainer workflow why 01k9f3 process_data --json
    """
    from . import history

    history.show_why(id, step, as_json=as_json)


def replay(
    id: Id,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|TIME",
            help="Show the workflow as it was after an event, or at a time such as "
            "2026-05-04T10:30:00.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="Go to the first event after which it holds, such as 'state.total > 3', "
            "'steps.load.failed > 0' or 'event.type == \"task.lost\"'.",
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print instead of taking the screen.")
    ] = False,
    as_json: AsJsonLines = False,
) -> None:
    """Go through what happened, event by event, forwards and back.

    On a terminal it takes the screen: each event, what it changed, the steps and the state then.
    Press ? there for the keys. Elsewhere, and with --plain, every event is printed with what it
    changed. Reads the log and runs no code of the workflow. --at shows one moment, as `status`
    shows now.

    \b
    Examples:
      agentainer workflow replay last
      agentainer workflow replay 01k9f3 --plain
      agentainer workflow replay 01k9f3 --at 41
      agentainer workflow replay 01k9f3 --at "2026-05-04 10:30"
      agentainer workflow replay 01k9f3 --until 'steps.load.failed > 0'
    """
    from . import replaying

    if at is not None and until is not None:
        raise typer.BadParameter("give --at or --until", param_hint="--until")
    replaying.show_replay(id, replaying.Way(at, until, plain, as_json))


def diff(
    id: Id,
    first: Annotated[
        str,
        typer.Argument(metavar="VERSION|TIME|ID", help="The earlier moment, or another workflow."),
    ],
    second: Annotated[
        str | None, typer.Argument(metavar="VERSION|TIME", help="The later moment.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two moments, or two workflows.

    Workflows are compared by their definitions, inputs, each attempt of each task, state and
    results, with how long each step took.

    \b
    Examples:
      agentainer workflow diff last 12 41
      agentainer workflow diff 01k9f3 2026-05-04T10:30 2026-05-04T10:35 --json
      agentainer workflow diff 01k9f3 01k9h7
    """
    from . import history

    history.show_diff(id, first, second, as_json=as_json)


def blame(
    id: Id,
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="Such as state.total, status, steps.load.status or steps.load.tasks.3.result.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show the event that set a value, and what led to it.

    Paths are those that `replay` and `diff` print.

    \b
    Examples:
      agentainer workflow blame last state.total
      agentainer workflow blame 01k9f3 steps.process_data.tasks.3
    """
    from . import history

    history.show_blame(id, path, as_json=as_json)


def trace(
    id: Id,
    otlp: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Export to the collector at this address, by OTLP."),
    ] = None,
    perfetto: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a file that ui.perfetto.dev opens."),
    ] = None,
    as_json: AsJsonLines = False,
) -> None:
    """Show what took how long, and within what.

    Made of its log, so it can be had of any workflow, as often as you like: the ids of its spans
    are always the same. --otlp takes the settings of OpenTelemetry (OTEL_EXPORTER_OTLP_…).

    \b
    Examples:
      agentainer workflow trace last
      agentainer workflow trace 01k9f3 --perfetto trace.json
      agentainer workflow trace 01k9f3 --otlp http://127.0.0.1:4318
    """
    from . import traces

    traces.show_trace(id, otlp=otlp, perfetto=perfetto, as_json=as_json)


def verify(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID|FILE...", help="Workflows here, or exported ones in files."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every workflow here.")] = False,
    projections: Annotated[
        bool, typer.Option("--projections", help="Only what is kept beside the log.")
    ] = False,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Only what the engine decided.")
    ] = False,
    as_json: AsJsonLines = False,
) -> None:
    """Verify a log, what is made of it, and the decisions in it.

    The chain of digests is computed again; the document, steps, agents, state and listings are
    compared with a fold of the log; what the engine wrote is compared with what it would decide
    now. Runs no code of the workflow and changes nothing. Exit code 1 when something is found.

    \b
    Examples:
      agentainer workflow verify last
      agentainer workflow verify --all --projections
      agentainer workflow verify run.agflow --json
    """
    if bool(ids) == everything:
        raise typer.BadParameter("give IDs or files, or --all")
    from . import bundles

    parts = bundles.parts_of(projections=projections, decisions=decisions)
    clean = bundles.show_verified(ids or [], parts, everything=everything, as_json=as_json)
    raise typer.Exit(0 if clean else 1)


def fork(
    id: Id,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STEP[:INDEX]",
            help="Run this step again, or one of its tasks, and all that depends on it.",
        ),
    ] = None,
    from_failure: Annotated[
        bool, typer.Option("--from-failure", help="Run again what failed.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|TIME", help="Go by the log up to this event, or this moment."
        ),
    ] = None,
    inputs: Inputs = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--set-output",
            metavar="STEP=VALUE",
            help="What a step returned, in place of what it did. May be repeated.",
        ),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--set-state", metavar="KEY=VALUE", help="State to set. May be repeated."),
    ] = None,
    definition: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:CLASS", help="Go on with the steps of this class, as they are today."
        ),
    ] = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Only show what would be reused and what would run.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Do a part again: start from what an earlier workflow did.

    The new workflow takes over what the earlier one did and runs the rest.

    What was not done runs, and so does what you name, what reads something that you give anew, and
    all that depends on it. The earlier workflow stays as it is. The id of the new one is on stdout.

    \b
    Examples:
      agentainer workflow fork last --from-failure
      agentainer workflow fork 01k9f3 --from process_data --plan
      agentainer workflow fork 01k9f3 --from process_data:7 -i mode=strict
      agentainer workflow fork 01k9f3 --set-output fetch='{"pages": 3}'
      agentainer workflow fork 01k9f3 --from-failure --definition shop/orders.py:Orders
    """
    from . import forking

    forking.show_fork(
        id,
        begin=begin,
        from_failure=from_failure,
        at=at,
        inputs=inputs,
        outputs=outputs,
        state=state,
        definition=definition,
        only_plan=only_plan,
        as_json=as_json,
    )


def export(
    id: Id,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to; ID.agflow without it, - is stdout."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a workflow to a file, to look at it elsewhere.

    Its events, definition and payloads, as lines of JSON with digests. Texts under names such as
    API_KEY or password are replaced by ***. Every command that looks at a workflow takes the file
    in place of an id.

    \b
    Examples:
      agentainer workflow export last
      agentainer workflow export 01k9f3 -o run.agflow
    """
    from . import bundles

    bundles.export(id, output, as_json=as_json)


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `workflow export` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Keep an exported workflow here, as a record.

    It is listed and shown as others are, and nothing ever moves it.

    It keeps its id, and is kept as long as a workflow that has ended. Importing it again is
    harmless; another workflow of that id is never overwritten.

    \b
    Examples:
      agentainer workflow import run.agflow
    """
    from . import bundles

    bundles.import_file(file, as_json=as_json)
