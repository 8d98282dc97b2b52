"""How commands print: JSON for programs, tables and times for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..sdk.progress import COLOURS

#: Columns of a table that is not for a terminal: nothing is cut there.
WIDE = 10_000

_COLOURS = {
    **COLOURS,
    "created": "dim",
    "requested": "cyan",
    "paused": "blue",
    "failing": "red",
    "cancelling": "magenta",
    "stopping": "magenta",
    "succeeded": "green",
}

Cell = str | Text


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for the person at the terminal, beside what stdout carries."""
    print(text, file=sys.stderr, flush=True)


def console() -> Console:
    width = None if sys.stdout.isatty() else WIDE
    return Console(width=width, highlight=False, markup=False)


def make_table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], whole: Sequence[str] = ("id",)
) -> Table:
    """A table as wide as the terminal. Columns named in `whole` are never cut, the others are."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[_cell(cell) for cell in row] for row in rows]
    for position, name in enumerate(columns):
        width = max((len(row[position]) for row in cells), default=0) if name in whole else None
        table.add_column(name.upper(), no_wrap=name in whole, min_width=width, overflow="ellipsis")
    for row in cells:
        table.add_row(*row)
    return table


def _cell(cell: Cell) -> Text:
    text = Text(cell) if isinstance(cell, str) else cell
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def coloured(status: str) -> Text:
    return Text(status, style=_COLOURS.get(status, ""))


def short(container: str) -> str:
    """A container's id as Docker shows it."""
    return container if ":" in container else container[:12]


def duration(seconds: float | None) -> str:
    """`850 ms`, `4.2 s`, `3 min 20 s`, `5 h 12 min`, `3 d 4 h`."""
    if seconds is None:
        return ""
    seconds = max(seconds, 0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, size, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    raise AssertionError(seconds)


def between(start: datetime | str | None, end: datetime | str | None) -> str:
    """How long it took, or takes when it has not ended."""
    if start is None:
        return ""
    return duration((_moment(end or now()) - _moment(start)).total_seconds())


def age(moment: datetime | str | None) -> str:
    return between(moment, None)


def now() -> datetime:
    return datetime.now(UTC)


def local_time(ms: int) -> str:
    """Date and time here, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000).isoformat(sep=" ", timespec="milliseconds")


def _moment(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
