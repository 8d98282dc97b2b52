"""`agentainer test-history`: a folder of exported histories against the code of today."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from ..sdk.corpus import definitions_of, examine, find_files
from .output import console, print_json
from .problems import Missed


def examine_folder(folder: Path, references: Sequence[str], *, as_json: bool) -> bool:
    """Print a line for each history; whether all is well. Raises Missed when there is none."""
    files = find_files(folder)
    if not files:
        raise Missed(f"there is no history (*.agflow) in {folder}")
    definitions = definitions_of(references)
    clean = True
    for path in files:
        found = examine(path, definitions)
        clean = clean and found.clean
        if as_json:
            print_json(found)
            continue
        word = Text("ok", "green") if found.clean else Text("failed", "bold red")
        line = Text.assemble(str(path), "  ", word, f"  {found.events} events")
        console().print(line, soft_wrap=True)
        for finding in found.findings:
            console().print(f"  {finding}", soft_wrap=True)
    return clean
