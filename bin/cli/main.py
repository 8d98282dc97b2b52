"""The `agentainer` command. What a command needs is imported when it runs: help stays fast."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import FlowError
from . import roles
from .options import AsJson, AsJsonLines
from .queue import app as queue
from .redis import app as redis
from .token import app as token
from .workflow import app as workflow

app = typer.Typer(
    name="agentainer",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Durable workflows of agents and Python steps on Redis.",
    epilog="Redis is the one of AGENTAINER_REDIS_URL, else an embedded one that starts by itself.",
)
for role in (roles.up, roles.reactors, roles.worker, roles.launcher, roles.serve):
    app.command()(role)
app.add_typer(workflow, name="workflow")
app.add_typer(queue, name="queue")
app.add_typer(token, name="token")
app.add_typer(redis, name="redis")


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"agentainer {version('agentainer-flow')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Say which version this is."
        ),
    ] = False,
) -> None:
    pass


@app.command("list")
def list_agents(
    ended: Annotated[
        bool, typer.Option("--all", "-a", help="Also agents of workflows that have ended.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, help="With --all: look at the newest workflows, this many.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """List the agents of workflows.

    Of all workflows under way, the newest first.

    \b
    Examples:
      agentainer list
      agentainer list --all --json
    """
    from . import agents

    agents.show(ended=ended, limit=limit, as_json=as_json)


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Print one look and end.")] = False,
    every: Annotated[
        float, typer.Option(min=0.2, metavar="SECONDS", help="Time to count between two looks.")
    ] = 2.0,
    most: Annotated[
        int, typer.Option("--limit", min=1, help="Workflows and steps to show, as many of each.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Show what the installation is doing, on the whole screen, until Ctrl-C.

    Tasks and workflows that end per second; queues with what waits in them and since when; what
    the slots of each host are used for; the workflows that run most tasks, and the steps that run
    longest. Where stdout is no terminal, or with --once or --json, one look is printed.

    \b
    Examples:
      agentainer top
      agentainer top --once
      agentainer top --json --every 10
    """
    from . import top

    top.show(once=once, every_s=every, most=most, as_json=as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say who runs, what lags, what waits and why, and what Redis promises.

    Exit code 0 when all is well, 1 when something needs an operator.

    \b
    Examples:
      agentainer doctor
      agentainer doctor --json
    """
    from .doctor import examine

    raise typer.Exit(0 if examine(as_json=as_json) else 1)


@app.command()
def check(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="Ids of workflows, or their unique beginnings."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All workflows, and what they share.")
    ] = False,
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="QUEUE=N",
            help="A limit of a queue that held all the time. May be repeated.",
        ),
    ] = None,
    effects: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="File or folder with a line `workflow step index attempt` per run of a step body.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check logs, keys and containers against every rule that holds at all times.

    Reads them with code of its own, apart from the engine's. Exit code 0 when nothing is wrong, 1
    when something is: one sentence for each, with the workflow, the version and the number of the
    rule (docs/guides/operations.md).

    \b
    Examples:
      agentainer check last
      agentainer check --all --json
    """
    from .check import examine

    if bool(ids) == everything:
        raise typer.BadParameter("give IDs, or --all")
    raise typer.Exit(0 if examine(ids, limits or [], effects, as_json=as_json) else 1)


@app.command("test-history")
def examine_histories(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", exists=True, file_okay=False, help="Exported histories."),
    ],
    definitions: Annotated[
        list[str] | None,
        typer.Option(
            "--definition",
            metavar="MODULE:CLASS",
            help="The steps that histories of this workflow ran have to be there still. "
            "May be repeated.",
        ),
    ] = None,
    as_json: AsJsonLines = False,
) -> None:
    """Test a folder of exported histories against the code of today.

    Each file has to be undamaged, with events that this release knows, and the engine of today has
    to decide as they tell. Needs no server. Exit code 1 when one fails.

    \b
    Examples:
      agentainer test-history tests/histories
      agentainer test-history tests/histories --definition shop.orders:OrderWorkflow --json
    """
    from .corpus import examine_folder

    raise typer.Exit(0 if examine_folder(folder, definitions or [], as_json=as_json) else 1)


@app.command()
def projections(as_json: AsJson = False) -> None:
    """Show how far what is kept of logs is behind them.

    Documents, listings, state and snapshots, each with its schema number, its position and its
    lag: over the workflows under way, in events and seconds, the worst and all together.

    \b
    Examples:
      agentainer projections
      agentainer projections --json
    """
    from . import projections

    projections.show(as_json=as_json)


@app.command()
def rebuild(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="documents, listings, state or snapshots."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    workflow: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of this workflow.")
    ] = None,
    back: Annotated[
        bool, typer.Option("--rollback", help="Put back what was live before the last rebuild.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make projections anew from the logs, compare, and switch to the new ones.

    What differs is built beside what is live, and switched to workflow by workflow when all has
    been compared; nothing that goes on meanwhile is lost, and nobody is told. When it is killed,
    the same command goes on. What was live before is kept for three days (--rollback).

    \b
    Examples:
      agentainer rebuild --all --dry-run
      agentainer rebuild documents --workflow 01k9f3
      agentainer rebuild listings --rollback
    """
    from . import projections

    projections.make(
        name,
        everything=everything,
        workflow=workflow,
        back=back,
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Archive what is due, and remove what nobody needs any more.

    Finished workflows whose log's time is over go to the archive (AGENTAINER_ARCHIVE), if there is
    one. Members of listings whose workflow is gone, what rebuilds left, and keys of workflows
    without a log are removed. Nothing is that a log still needs.

    \b
    Examples:
      agentainer gc --dry-run
      agentainer gc --json
    """
    from . import gc

    gc.run(dry_run=dry_run, as_json=as_json)


def main() -> None:
    """Run the command. Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 130 interrupted."""
    try:
        app()
    except (FlowError, ExceptionGroup) as error:
        from .problems import report

        sys.exit(report(error))
