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
#: Blanks between two columns.
GAP = 2

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


def console(*, stderr: bool = False) -> Console:
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else WIDE
    return Console(width=width, highlight=False, markup=False, stderr=stderr)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    whole: Sequence[str] = ("id",),
    spare: Sequence[str] = (),
    out: Console | None = None,
) -> None:
    """Print a table as wide as the terminal.

    When it is too narrow, columns named in `spare` are left out, the first one first, and then
    cells are cut, but never those of the columns in `whole`.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = {
        name: max([len(name), *(len(row[position]) for row in cells)])
        for position, name in enumerate(columns)
    }
    out = out or console()
    shown = choose_columns(widths, spare, out.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in shown:
        least = widths[name] if name in whole else None
        table.add_column(name.upper(), no_wrap=name in whole, min_width=least)
    for row in cells:
        table.add_row(*(cell for name, cell in zip(columns, row, strict=True) if name in shown))
    out.print(table)


def choose_columns(widths: dict[str, int], spare: Sequence[str], width: int) -> list[str]:
    """The columns that fit, or all but the spare ones."""
    shown = list(widths)
    for name in spare:
        if sum(widths[name] + GAP for name in shown) - GAP > width:
            shown.remove(name)
    return shown


def _cell(cell: Cell) -> Text:
    text = Text(cell) if isinstance(cell, str) else cell
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def coloured(text: str, status: str | None = None) -> Text:
    """A text in the colour of a status, or a status in its own."""
    return Text(text, style=_COLOURS.get(status or text, ""))


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
