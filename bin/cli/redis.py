"""`agentainer redis`: the embedded Redis of this user and home."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .options import AsJson

if TYPE_CHECKING:
    from ..core.embedded import EmbeddedStatus

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The embedded Redis of this user."
)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show what runs; exit with 1 when nothing does."""
    from ..core import embedded
    from ..core.settings import load_settings

    found = embedded.status(load_settings())
    _show(found, as_json)
    raise typer.Exit(0 if found.running else 1)


@app.command()
def start(as_json: AsJson = False) -> None:
    """Start it unless it runs, and wait until it answers."""
    from ..core import embedded
    from ..core.settings import load_settings

    settings = load_settings()
    embedded.ensure(settings)
    _show(embedded.status(settings), as_json)


@app.command()
def stop(as_json: AsJson = False) -> None:
    """Stop it; its data stays on disk."""
    from ..core import embedded
    from ..core.settings import load_settings

    stopped = embedded.stop(load_settings())
    if as_json:
        _print_json({"stopped": stopped})
    else:
        typer.echo("stopped" if stopped else "was not running")


def _show(found: EmbeddedStatus, as_json: bool) -> None:
    if as_json:
        _print_json(found)
        return
    for name, value in _rows(found):
        typer.echo(f"{name:<10} {value}")


def _print_json(what: object) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(what))


def _rows(found: EmbeddedStatus) -> list[tuple[str, str]]:
    rows = [("status", _state(found)), ("url", found.url), ("directory", found.directory)]
    if found.pid is not None:
        rows.append(("pid", str(found.pid)))
    if found.version is not None:
        rows += [
            ("program", f"{found.program} {found.version}"),
            ("started", f"{found.started:%Y-%m-%d %H:%M:%S %Z}"),
            ("memory", f"{(found.memory_bytes or 0) / 1_000_000:.1f} MB"),
            ("keys", f"{found.keys:,}"),
        ]
    return rows


def _state(found: EmbeddedStatus) -> str:
    if not found.running:
        return "not running"
    return f"running, but {found.problem}" if found.problem else "running"
