"""`agentainer workflow`: run, start, look at and cancel workflows. Imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import (
    STATUSES,
    AsJson,
    AsJsonLines,
    Before,
    Follow,
    Id,
    Init,
    Inputs,
    NameIs,
    OlderThan,
    Reference,
    Since,
    StatusIs,
    TagIs,
    Tags,
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run, start, look at, explain, fork, pause and cancel workflows.",
)


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
    status: StatusIs = None,
    name: NameIs = None,
    tags: TagIs = None,
    since: Since = None,
    before: Before = None,
    older_than: OlderThan = None,
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
    _check(status, before, older_than)
    from . import looking
    from .query import Query

    query = Query(
        status=status, name=name, tags=tags, since=since, before=before, older_than=older_than
    )
    looking.show_list(query, limit=limit, as_json=as_json)


def _check(status: str | None, before: str | None, older_than: str | None) -> None:
    """Raises typer.BadParameter."""
    if status is not None and status not in STATUSES.replace(",", "").split():
        raise typer.BadParameter(f"expected {STATUSES}, got {status!r}", param_hint="--status")
    if before and older_than:
        raise typer.BadParameter("give --before or --older-than, not both")


class Verb(StrEnum):
    """What `bulk` does to each workflow."""

    pause = "pause"
    resume = "resume"
    cancel = "cancel"
    delete = "delete"
    fork = "fork"


@app.command()
def bulk(
    verb: Annotated[Verb, typer.Argument(help="What to do to each; fork runs again what failed.")],
    status: StatusIs = None,
    name: NameIs = None,
    tags: TagIs = None,
    since: Since = None,
    before: Before = None,
    older_than: OlderThan = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest.")] = 1000,
    sure: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pause, resume, cancel, delete or fork all workflows that match.

    Shows them first and asks; where nobody can answer, nothing is done without --yes. One that
    refuses does not stop the others; the exit code is 1 then.

    \b
    Examples:
      agentainer workflow bulk cancel --name orders --status running
      agentainer workflow bulk fork --status failed --since 2h --yes
      agentainer workflow bulk delete --tag team=search --older-than 30d --yes --json
    """
    _check(status, before, older_than)
    from . import bulk as bulk_of
    from .query import Query

    query = Query(
        status=status, name=name, tags=tags, since=since, before=before, older_than=older_than
    )
    if query.is_empty:
        raise typer.BadParameter("say which ones: --status, --name, --tag, --since …")
    well = bulk_of.run(verb.value, query, limit=limit, sure=sure, as_json=as_json)
    raise typer.Exit(0 if well else 1)


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


@app.command()
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
    """Show what differs between two moments of a workflow, or between two workflows.

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
    """Show the trace of a workflow: what took how long, and within what.

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


@app.command()
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
    """Start a new workflow that takes over what an earlier one did, and runs the rest.

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


@app.command()
def watch(id: Id) -> None:
    """Watch a workflow until it ends: its steps, tasks and agents.

    Exit code 0 when it completed, 1 when it did not.

    \b
    Examples:
      agentainer workflow watch last
    """
    from . import watching

    raise typer.Exit(0 if watching.show_watch(id) else 1)


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
def delete(id: Id, as_json: AsJson = False) -> None:
    """Delete a workflow that has ended or never began, with all that is stored of it.

    \b
    Examples:
      agentainer workflow delete 01k9f3
    """
    from . import starting

    starting.delete(id, as_json=as_json)


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
