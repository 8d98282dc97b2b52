"""`agentainer workflow watch`."""

from __future__ import annotations

import sys

from ..core.log import EventLog
from ..projections.fold import Gap, RolledBack, apply
from ..projections.workflow import WorkflowView
from ..sdk.handle import follow_to_end, read_view
from ..sdk.progress import Progress
from .session import find, prepare, with_log


def show_watch(id: str) -> bool:
    """Show how a workflow gets on until it ends; whether it completed."""
    setting = prepare().progress
    if setting not in ("live", "plain"):  # who watches wants to see something
        setting = "live" if sys.stderr.isatty() else "plain"
    view = with_log(lambda log: _watch(log, id, setting))
    return view.status == "completed"


async def _watch(log: EventLog, id: str, setting: str) -> WorkflowView:
    view = await read_view(log, await find(log, id))
    definition = await log.get_definition(view.definition_digest)
    with Progress(view.id, definition, setting) as progress:
        progress.show(view)
        async for recorded in follow_to_end(log, view.id, after=view.version):
            try:
                apply(view, recorded)
            except (Gap, RolledBack):  # Redis came back with another log
                view = await read_view(log, view.id)
            progress.show(view)
    return view
