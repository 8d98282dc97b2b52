"""`agentainer queue list | set`: how many tasks run at a time, over all workflows."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import AsJson

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Limit how many tasks run at a time."
)


def _read_number(text: str) -> int:
    """0 or `none` lifts a limit. Raises typer.BadParameter."""
    if text == "none":
        return 0
    if not text.isdecimal():
        raise typer.BadParameter(f"expected a number or none, got {text!r}")
    return int(text)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the queues that have limits or tasks; * is all of them together.

    For each: how many tasks may run and do, which share of the limit (or of all slots) that is, how
    many may wait and do, how long the oldest has, and how many workflows have tasks that wait.

    \b
    Examples:
      agentainer queue list
    """
    from . import queues

    queues.show(as_json=as_json)


@app.command("set")
def set_limits(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A queue; * for all together.")],
    limit: Annotated[
        int | None,
        typer.Option(parser=_read_number, metavar="N", help="Tasks that may run at a time."),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            parser=_read_number,
            metavar="N",
            help="Tasks that may wait; with more, new workflows are refused.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set the limits of a queue; 0 or none lifts one, and what is not given stays.

    \b
    Examples:
      agentainer queue set gpu --limit 4
      agentainer queue set gpu --limit none --depth 1000
    """
    from . import queues

    if limit is None and depth is None:
        raise typer.BadParameter("give --limit, --depth or both")
    queues.change(name, limit=limit, depth=depth, as_json=as_json)
