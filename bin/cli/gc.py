"""`agentainer gc`."""

from __future__ import annotations

from rich.text import Text

from ..core.sizes import say_size
from ..sdk.gc import collect
from ..sdk.retention import Collected
from .output import console, print_json
from .session import with_log

#: Workflows that were not archived, as a person is shown them; JSON has them all.
SHOWN = 10


def run(*, dry_run: bool, as_json: bool) -> None:
    found = with_log(lambda log: collect(log, dry_run=dry_run))
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Collected) -> None:
    out, done = console(), found.archived
    would = "would be " if found.dry_run else ""
    freed = f"{say_size(done.redis_bytes)} of logs"
    files = f", {say_size(done.file_bytes)} in the archive" if done.file_bytes else ""
    out.print(f"workflows  {done.count} {would}archived ({freed}{files}), {done.waiting} not due")
    for kept in done.kept[:SHOWN]:
        out.print(Text(f"  {kept.workflow} stays: {kept.reason}", style="red"), soft_wrap=True)
    if len(done.kept) > SHOWN:
        out.print(f"  and {len(done.kept) - SHOWN} more; --json shows all")
    out.print(f"listings   {found.members} members without a workflow {would}removed")
    out.print(
        f"shadows    {found.shadows} {would}removed ({say_size(found.shadow_bytes)}), "
        f"{found.former} kept for going back"
    )
    if found.parts:
        out.print(f"files      {found.parts} half written {would}removed from the archive")
    out.print(
        f"leftovers  {found.leftovers} keys {would}removed ({say_size(found.leftover_bytes)})"
    )
