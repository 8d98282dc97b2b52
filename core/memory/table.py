"""The commands there are, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .database import Database
from .values import Args, Failure, Reply

Handler = Callable[[Database, Args], Reply]


class Command(NamedTuple):
    name: str
    run: Handler
    #: Least and most arguments.
    least: int
    most: float
    writes: bool


COMMANDS: dict[bytes, Command] = {}


def command(
    name: str, least: int = 0, most: int | None = -1, *, writes: bool = False
) -> Callable[[Handler], Handler]:
    """Enter a function as a command of `least` to `most` arguments.

    None: any number; -1: as many as `least`.
    """

    def enter(run: Handler) -> Handler:
        limit = math.inf if most is None else least if most == -1 else most
        COMMANDS[name.encode()] = Command(name.lower(), run, least, limit, writes)
        return run

    return enter


def find(name: bytes, args: Args) -> Command:
    """Fails when there is no such command, or none with this number of arguments."""
    found = COMMANDS.get(name) or COMMANDS.get(name.upper())
    if found is None:
        shown = " ".join(f"'{arg[:128].decode(errors='replace')}'" for arg in args[:20])
        raise Failure(
            f"ERR unknown command '{name.decode(errors='replace')}', with args beginning with: "
            f"{shown}"
        )
    if not found.least <= len(args) <= found.most:
        raise Failure(f"ERR wrong number of arguments for '{found.name}' command")
    return found


def choose(parent: str, args: Args, choices: Mapping[bytes, Handler]) -> Handler:
    """The handler of a subcommand, by the first argument."""
    found = choices.get(args[0].upper())
    if found is None:
        shown = args[0].decode(errors="replace")
        raise Failure(f"ERR unknown subcommand '{shown}'. Try {parent} HELP.")
    return found


def syntax_error() -> Failure:
    return Failure("ERR syntax error")
