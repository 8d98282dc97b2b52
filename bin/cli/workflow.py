"""`agentainer workflow`: run, start, look at and cancel workflows. Imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from .debugging import blame, diff, export, fork, import_file, replay, trace, verify, why
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
def result(
    id: Id,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long to wait at most.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the result of a workflow as JSON, once it has ended.

    Exit code 1, and why, when it did not complete, or not in time.

    \b
    Examples:
      agentainer workflow result last
      agentainer workflow result 01k9f3 --timeout 60
    """
    from . import starting

    starting.result(id, timeout)


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
    """Delete a workflow that has ended or never began.

    With all that is stored of it.

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


for verb in (why, replay, diff, blame, trace, verify, fork, export):
    app.command()(verb)
app.command("import")(import_file)
