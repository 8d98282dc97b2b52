"""Make, show and revoke tokens."""

from __future__ import annotations

from typing import Any

import typer

from ..core.errors import FlowError
from ..core.log import EventLog
from ..core.tokens import Scope, Token, create_token, list_tokens, revoke_token
from ..projections.documents import iso
from .output import Cell, console, print_json, print_table, say
from .session import with_log

COLUMNS = ("id", "name", "scope", "created", "expires")


class NoToken(FlowError):
    """Raised when there is no token of an id."""


def create(name: str, scope: Scope, lifetime_s: float | None, *, as_json: bool) -> None:
    async def make(log: EventLog) -> tuple[str, Token]:
        return await create_token(log, name, scope, lifetime_s=lifetime_s)

    text, token = with_log(make)
    if as_json:
        print_json({**_public(token), "token": text})
        return
    typer.echo(text)
    say(f"Keep it: it cannot be shown again. Revoke it: agentainer token revoke {token.id}")


def show(*, as_json: bool) -> None:
    found = with_log(list_tokens)
    if as_json:
        print_json([_public(token) for token in found])
    elif found:
        print_table(COLUMNS, map(_row, found))
    else:
        console().print("there are no tokens; agentainer token create NAME makes one")


def revoke(id: str, *, as_json: bool) -> None:
    async def end(log: EventLog) -> bool:
        return await revoke_token(log, id)

    if not with_log(end):
        raise NoToken(f"there is no token {id!r}; agentainer token list shows those there are")
    if as_json:
        print_json({"id": id, "revoked": True})
    else:
        typer.echo(f"{id} is revoked")


def _public(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "created_at": iso(token.created_ms),
        "expires_at": iso(token.expires_ms),
    }


def _row(token: Token) -> list[Cell]:
    expires = iso(token.expires_ms) or "never"
    return [token.id, token.name, token.scope, iso(token.created_ms) or "", expires]
