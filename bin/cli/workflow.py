"""`agentainer workflow`: run, start, look at and cancel workflows. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, AsJsonLines, Follow, Id, Init, Inputs, Reference, Tags

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run, start, look at, explain, pause and cancel workflows.",
)

#: As in the listing; `projections.workflow.WorkflowStatus` has the same.
STATUSES = "created, running, paused, failing, cancelling, completed, failed or cancelled"


@app.command()
def run(
    reference: Reference,
    inputs: Inputs = None,
    init: Init = None,
    tags: Tags = None,
    as_json: AsJson = False,
) -> None:
    """Run a workflow here, to its end.

    Its result is the last line of stdout, as JSON. With --json that line is all there is: what
    steps print goes to stderr.

    \b
    Examples:
      agentainer workflow run shop.orders:OrderWorkflow -i order='{"id": 7}' -i note=rush
      agentainer workflow run examples/data_processing.py -i chunks=10
    """
    from . import starting

    starting.run(reference, inputs, init, tags=tags, as_json=as_json)


@app.command()
def start(
    reference: Reference,
    inputs: Inputs = None,
    init: Init = None,
    tags: Tags = None,
    as_json: AsJson = False,
) -> None:
    """Start a workflow and print its id.

    It runs where it is served: by `agentainer up`.

    \b
    Examples:
      agentainer workflow start examples/data_processing.py -i chunks=10
      agentainer workflow start shop.orders:OrderWorkflow --init shop=7 --tag team=search --json
    """
    from . import starting

    starting.start(reference, inputs, init, tags=tags, as_json=as_json)


@app.command("list")
def list_workflows(
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help=f"Only those that are {STATUSES}.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only runs of this definition.")
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="Only runs with this tag. Repeatable."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="AGE|TIME", help="Only runs created since then, such as 2h or 3d."),
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="AGE|TIME", help="Only runs created before then.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only runs created longer ago than this.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List workflows, the newest first.

    \b
    Examples:
      agentainer workflow list --status failed
      agentainer workflow list --name orders --tag team=search --since 2h
      agentainer workflow list --older-than 30d --limit 100 --json
    """
    if status is not None and status not in STATUSES.replace(",", "").split():
        raise typer.BadParameter(f"expected {STATUSES}, got {status!r}", param_hint="--status")
    if before and older_than:
        raise typer.BadParameter("give --before or --older-than, not both")
    from . import looking

    times = looking.Times(since, before, older_than)
    looking.show_list(
        status=status, name=name, tags=tags, times=times, limit=limit, as_json=as_json
    )


@app.command()
def status(id: Id, as_json: AsJson = False) -> None:
    """Show the steps and agents of a workflow.

    As of now, read from its log; and why it failed, when it has.

    \b
    Examples:
      agentainer workflow status last
      agentainer workflow status 01k9f3 --json
    """
    from . import looking

    looking.show_status(id, as_json=as_json)


@app.command()
def events(
    id: Id,
    follow: Follow = False,
    after: Annotated[
        int, typer.Option(min=0, metavar="VERSION", help="Only events above this version.")
    ] = 0,
    as_json: AsJsonLines = False,
) -> None:
    """Show the events of a workflow.

    \b
    Examples:
      agentainer workflow events last --follow
      agentainer workflow events 01k9f3 --after 12 --json
    """
    from . import reading

    reading.show_events(id, follow=follow, after=after, as_json=as_json)


@app.command()
def logs(
    id: Id,
    step: Annotated[
        str | None, typer.Option(metavar="STEP", help="Only agents of this step.")
    ] = None,
    index: Annotated[
        int | None, typer.Option(min=0, help="Only agents of this item of a fan-out.")
    ] = None,
    follow: Follow = False,
    as_json: AsJsonLines = False,
) -> None:
    """Show what the agents of a workflow wrote.

    Each line behind its agent's id.

    \b
    Examples:
      agentainer workflow logs last --follow
      agentainer workflow logs 01k9f3 --step process_data --index 3
    """
    from . import reading

    reading.show_logs(id, step=step, index=index, follow=follow, as_json=as_json)


@app.command()
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


@app.command()
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
    as_json: AsJsonLines = False,
) -> None:
    """Go through what happened: every event, and what it changed.

    Reads the log and runs no code of the workflow. --at shows one moment, as `status` shows now.

    \b
    Examples:
      agentainer workflow replay last
      agentainer workflow replay 01k9f3 --at 41
      agentainer workflow replay 01k9f3 --at "2026-05-04 10:30"
    """
    from . import history

    if at is None:
        history.show_replay(id, as_json=as_json)
    else:
        history.show_at(id, at, as_json=as_json)


@app.command()
def diff(
    id: Id,
    first: Annotated[str, typer.Argument(metavar="VERSION|TIME", help="The earlier moment.")],
    second: Annotated[str, typer.Argument(metavar="VERSION|TIME", help="The later moment.")],
    as_json: AsJson = False,
) -> None:
    """Show what differs between two moments of a workflow.

    \b
    Examples:
      agentainer workflow diff last 12 41
      agentainer workflow diff 01k9f3 2026-05-04T10:30 2026-05-04T10:35 --json
    """
    from . import history

    history.show_diff(id, first, second, as_json=as_json)


@app.command()
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
    """Show the event that last set a value, behind the events that caused it.

    Paths are those that `replay` and `diff` print.

    \b
    Examples:
      agentainer workflow blame last state.total
      agentainer workflow blame 01k9f3 steps.process_data.tasks.3
    """
    from . import history

    history.show_blame(id, path, as_json=as_json)


@app.command()
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
    """Verify that a log, all that is made of it, and the engine's decisions agree.

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


@app.command()
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
    """Write a workflow to a file, with all that is needed to look at it elsewhere.

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


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `workflow export` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Make an exported workflow one here: a record that is listed, and that nothing ever moves.

    It keeps its id, and is kept as long as a workflow that has ended. Importing it again is
    harmless; another workflow of that id is never overwritten.

    \b
    Examples:
      agentainer workflow import run.agflow
    """
    from . import bundles

    bundles.import_file(file, as_json=as_json)


@app.command()
def cancel(
    id: Id,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the log.")] = "",
    as_json: AsJson = False,
) -> None:
    """Cancel a workflow.

    Its agents are stopped; what has not begun never will.

    \b
    Examples:
      agentainer workflow cancel 01k9f3 --reason "wrong input"
    """
    from . import starting

    starting.cancel(id, reason, as_json=as_json)


@app.command()
def pause(
    id: Id,
    freeze: Annotated[bool, typer.Option("--freeze", help="Freeze running agents, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pause a workflow.

    No task or agent starts, retries and time limits of the run wait; what runs goes on to its end
    and is recorded.

    \b
    Examples:
      agentainer workflow pause 01k9f3
      agentainer workflow pause last --freeze
    """
    from . import starting

    starting.pause(id, freeze=freeze, as_json=as_json)


@app.command()
def resume(id: Id, as_json: AsJson = False) -> None:
    """Go on with a paused workflow.

    \b
    Examples:
      agentainer workflow resume 01k9f3
    """
    from . import starting

    starting.resume(id, as_json=as_json)
