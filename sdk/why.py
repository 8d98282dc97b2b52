"""Why a workflow is where it is, also where its log is damaged or nothing moves it. Pure."""

from __future__ import annotations

from ..projections.histories import History, first_stop
from .explanation import Reason, explain
from .facts import Facts

_NOTHING = Facts([])
_RECORD = "it is a record that nothing moves; fork it to go on (`agentainer workflow fork`)"


def why(
    history: History, facts: Facts = _NOTHING, now_ms: int | None = None, *, imported: bool = False
) -> list[Reason]:
    """As `explain`, for a log that may be damaged, too.

    Without `now_ms` as of its last event: of a history in a file.
    """
    view = history.fold()
    definition = history.shown_definition(view)
    now = view.updated_ms if now_ms is None else now_ms
    found = explain(view, definition, history.events, facts, now)
    kept: list[Reason] = []
    if imported:
        kept.append(Reason(f"It was imported: {_RECORD}.", root=not view.ended))
    elif now_ms is not None and not view.ended and (reason := why_set_aside(history)):
        text = f"The engine has set it aside, because its log is damaged: {reason}."
        kept.append(Reason(text, root=True))
    return [*kept, *found]


def why_set_aside(history: History) -> str:
    """Why no engine can go on with it; empty when one can."""
    if history.definition is None:
        return "its definition is missing or cannot be read"
    stop = first_stop(history.workflow, history.events)
    return str(stop) if stop else ""
