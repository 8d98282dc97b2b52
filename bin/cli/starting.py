"""`agentainer workflow run`, `start` and `cancel`."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import typer

from ..core.errors import DefinitionError
from ..core.log import EventLog
from ..core.settings import Settings
from ..sdk import client
from ..sdk.graph import WorkflowCode
from ..sdk.handle import wait_result
from ..sdk.loop import run_loop
from ..sdk.registry import load
from ..sdk.runner import arun, astart
from .output import print_json, say
from .session import find, prepare, with_log
from .values import read_tags, read_values


def run(
    reference: str,
    inputs: list[str] | None,
    init: list[str] | None,
    *,
    tags: list[str] | None,
    as_json: bool,
) -> None:
    settings = _with_progress(prepare())
    values, labels = read_values(inputs, "--input"), read_tags(tags)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        workflow = make(reference, init)
        result = run_loop(lambda: arun(workflow, values, settings, tags=labels))
    print_json(result)


def start(
    reference: str,
    inputs: list[str] | None,
    init: list[str] | None,
    *,
    tags: list[str] | None,
    as_json: bool,
) -> None:
    prepare()
    values, labels = read_values(inputs, "--input"), read_tags(tags)
    workflow = make(reference, init)
    handle = run_loop(lambda: astart(workflow, values, labels))
    if as_json:
        print_json({"id": handle.id})
    else:
        typer.echo(handle.id)
    say(f"Serve it:   agentainer up {reference}")
    say(f"Follow it:  agentainer workflow events {handle.id} --follow")


def result(id: str, timeout: float | None) -> None:
    async def ask(log: EventLog) -> Any:
        return await wait_result(log, await find(log, id), timeout)

    prepare()
    print_json(with_log(ask))


def cancel(id: str, reason: str, *, as_json: bool) -> None:
    _command(id, "cancelling", partial(client.cancel, reason=reason), as_json=as_json)


def pause(id: str, *, freeze: bool, as_json: bool) -> None:
    _command(id, "paused", partial(client.pause, freeze=freeze), as_json=as_json)


def resume(id: str, *, as_json: bool) -> None:
    _command(id, "running", client.resume, as_json=as_json)


def delete(id: str, *, as_json: bool) -> None:
    async def ask(log: EventLog) -> str:
        workflow = await find(log, id)
        await client.delete(log, workflow)
        return workflow

    workflow = with_log(ask)
    if as_json:
        print_json({"id": workflow, "status": "deleted"})
    else:
        typer.echo(f"{workflow} is deleted")


def _command(
    id: str, status: str, command: Callable[[EventLog, str], Awaitable[object]], *, as_json: bool
) -> None:
    async def ask(log: EventLog) -> str:
        workflow = await find(log, id)
        await command(log, workflow)
        return workflow

    workflow = with_log(ask)
    if as_json:
        print_json({"id": workflow, "status": status})
    else:
        typer.echo(f"{workflow} is {status}")
        say(f"Follow it:  agentainer workflow events {workflow} --follow")


def make(reference: str, init: list[str] | None) -> Any:
    """An instance of the workflow class. Raises DefinitionError, typer.BadParameter."""
    code = load_one(reference)
    arguments = read_values(init, "--init")
    try:
        inspect.signature(code.cls).bind(**arguments)
    except TypeError as error:
        name = f"{code.cls.__name__}.__init__"
        raise typer.BadParameter(f"{name}: {error}", param_hint="--init") from error
    return code.cls(**arguments)


def load_one(reference: str) -> WorkflowCode:
    """The only workflow class of a reference. Raises DefinitionError."""
    codes = load(reference)
    if len(codes) > 1:
        names = ", ".join(code.cls.__name__ for code in codes)
        raise DefinitionError(reference, f"say which one: {reference}:CLASS; there: {names}")
    return codes[0]


def _with_progress(settings: Settings) -> Settings:
    """Who calls the command wants to see how it gets on, on a terminal or in a log."""
    if settings.progress == "auto" and not sys.stderr.isatty():
        return msgspec.structs.replace(settings, progress="plain")
    return settings
