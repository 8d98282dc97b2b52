"""`agentainer workflow export`, `import` and `verify`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.text import Text

from ..core.log import EventLog
from ..projections.bundle import SUFFIX, encode_history
from ..projections.redaction import redact
from ..sdk.importing import import_history
from ..sdk.verify import ALL_PARTS, Part, Verified, verify, verify_all, verify_history
from .histories import is_file, open_history, read_file, say_problems
from .output import console, print_json, say
from .session import find, with_log

#: Findings that a person is told of one workflow; JSON has them all.
TOLD = 10


def export(id: str, output: Path | None, *, as_json: bool) -> None:
    """Write the file; `-` is stdout."""
    history = redact(open_history(id, whole=True))
    data = encode_history(history)
    path = output or Path(history.workflow + SUFFIX)
    if str(path) == "-":
        sys.stdout.buffer.write(data)
        return
    path.write_bytes(data)
    if as_json:
        facts = {"id": history.workflow, "events": len(history.events), "bytes": len(data)}
        print_json({**facts, "file": str(path), "problems": history.problems})
        return
    say(f"{path}: {len(history.events)} events, {len(history.blobs)} payloads, {len(data):,} bytes")
    say_problems(history)


def import_file(path: Path, *, as_json: bool) -> None:
    history = read_file(path)
    word = with_log(lambda log: import_history(log, history))
    if as_json:
        print_json({"id": history.workflow, "events": len(history.events), "outcome": word})
        return
    done = "is here already" if word == "there" else "is here now, as a record that nothing moves"
    say(f"workflow {history.workflow} {done}")
    typer.echo(history.workflow)


def parts_of(*, projections: bool, decisions: bool) -> frozenset[Part]:
    """What is to be verified: all where nothing is chosen."""
    wanted: dict[Part, bool] = {"projections": projections, "decisions": decisions}
    return frozenset(part for part, chosen in wanted.items() if chosen) or ALL_PARTS


def show_verified(
    texts: Sequence[str], parts: frozenset[Part], *, everything: bool, as_json: bool
) -> bool:
    """Print a line for each, and what was found; whether all is well."""
    printer = _Printer(as_json=as_json)
    files = [text for text in texts if is_file(text)]
    for text in files:
        printer.show(verify_history(read_file(Path(text)), parts - {"projections"}))
    ids = [text for text in texts if text not in files]

    async def look(log: EventLog) -> None:
        for text in ids:
            printer.show(await verify(log, await find(log, text), parts))
        if everything:
            async for verified in verify_all(log, parts):
                printer.show(verified)

    if ids or everything:
        with_log(look)
    return printer.is_clean


class _Printer:
    """Prints what was verified, one after the other."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = console()
        self.is_clean = True

    def show(self, verified: Verified) -> None:
        self.is_clean = self.is_clean and verified.clean
        if self._as_json:
            print_json(verified)
            return
        word = Text("ok", "green") if verified.clean else Text(_count(verified), "bold red")
        numbers = f"{verified.events} events, {verified.decisions} decisions"
        line = Text.assemble(verified.workflow, "  ", word, "  ", numbers)
        self._console.print(line, soft_wrap=True)
        for finding in verified.findings[:TOLD]:
            self._console.print(f"  {finding}", soft_wrap=True)
        if len(verified.findings) > TOLD:
            self._console.print(f"  and {len(verified.findings) - TOLD} more", soft_wrap=True)


def _count(verified: Verified) -> str:
    number = len(verified.findings)
    return f"{number} finding{'s' if number != 1 else ''}"
