"""`agentainer token create | list | revoke`: who may use the HTTP API."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from .options import AsJson

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Tokens of the HTTP API: make, list, revoke."
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Scope(StrEnum):
    read = "read"
    write = "write"
    admin = "admin"


def _read_span(text: str) -> float:
    """Seconds of `90s`, `15m`, `12h` or `30d`. Raises typer.BadParameter."""
    if text[:-1].isdecimal() and text[-1:] in _UNITS:
        return float(text[:-1]) * _UNITS[text[-1]]
    raise typer.BadParameter(f"expected a span such as 12h or 30d, got {text!r}")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, to know it again.")],
    scope: Annotated[
        Scope, typer.Option(help="read; write, to steer workflows too; admin, for all.")
    ] = Scope.write,
    expires: Annotated[
        float | None, typer.Option(parser=_read_span, metavar="SPAN", help="As 12h or 30d.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once.

    \b
    Examples:
      agentainer token create deploy --scope write --expires 90d
    """
    from . import tokens

    tokens.create(name, scope.value, expires, as_json=as_json)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the tokens there are; what they are is not kept.

    \b
    Examples:
      agentainer token list
    """
    from . import tokens

    tokens.show(as_json=as_json)


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Make a token worthless, at once.

    \b
    Examples:
      agentainer token revoke 7rk2m0qx4d
    """
    from . import tokens

    tokens.revoke(id, as_json=as_json)
