"""`agentainer workflow fork`."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import typer

from ..core.log import EventLog
from ..sdk.fork_plan import ForkPlan, PlannedStep, Wish
from ..sdk.forking import fork, plan
from ..sdk.graph import WorkflowCode
from .output import Cell, coloured, console, print_json, print_table, say
from .session import find, with_log
from .starting import load_one
from .values import read_values

#: `load`, `load:3` or, as they are shown, `load[3]`.
_PLACE = re.compile(r"(?P<step>[^:\[\]]+)(?::(?P<a>\d+)|\[(?P<b>\d+)\])?")

PLANNED = ("step", "reused", "runs", "why")


def show_fork(
    id: str,
    *,
    begin: str | None,
    from_failure: bool,
    at: str | None,
    inputs: list[str] | None,
    outputs: list[str] | None,
    state: list[str] | None,
    definition: str | None,
    only_plan: bool,
    as_json: bool,
) -> None:
    step, index = _place(begin)
    wish = Wish(
        at=at,
        step=step,
        index=index,
        from_failure=from_failure,
        inputs=_raw(inputs, "--input"),
        outputs=_raw(outputs, "--set-output"),
        state=_raw(state, "--set-state"),
    )
    code = load_one(definition) if definition else None

    async def ask(log: EventLog) -> tuple[ForkPlan, str | None]:
        planned = await plan(log, await find(log, id), wish, code=code)
        made = None if only_plan else await fork(log, planned, wish, code=code)
        return planned, made

    planned, made = with_log(ask)
    if as_json:
        print_json(_public(planned, made))
        return
    _print_plan(planned, is_done=made is not None)
    if made is not None:
        typer.echo(made)
        say(f"Serve it:   agentainer up {_reference(planned, code)}")
        say(f"Follow it:  agentainer workflow watch {made}")


def _place(text: str | None) -> tuple[str | None, int | None]:
    """Raises typer.BadParameter."""
    if text is None:
        return None, None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"expected STEP or STEP:INDEX such as load or load:3, got {text!r}",
            param_hint="--from",
        )
    index = found["a"] or found["b"]
    return found["step"], int(index) if index else None


def _raw(values: list[str] | None, option: str) -> dict[str, msgspec.Raw]:
    return {
        name: msgspec.Raw(msgspec.json.encode(value))
        for name, value in read_values(values, option).items()
    }


def _reference(planned: ForkPlan, code: WorkflowCode | None) -> str:
    return code.reference if code else planned.source.code


def _public(planned: ForkPlan, made: str | None) -> dict[str, Any]:
    return {
        "id": made,
        "source": planned.source.id,
        "version": planned.source.version,
        "steps": [
            {
                "id": step.id,
                "reused": len(step.reused),
                "runs": _left(step),
                "whole": step.is_reused,
                "why": step.why,
            }
            for step in planned.steps
        ],
        "state": sorted(planned.state),
        "notes": planned.notes,
    }


def _left(step: PlannedStep) -> int | None:
    """Tasks that run; None when nobody knows yet how many."""
    return None if step.tasks is None else step.tasks - len(step.reused)


def _print_plan(planned: ForkPlan, *, is_done: bool) -> None:
    """On stderr when there is a fork, whose id is all that stdout gets."""
    source = planned.source
    out = console(stderr=is_done)
    out.print(f"{source.name}  fork of {source.id} after event {source.version}", soft_wrap=True)
    print_table(PLANNED, map(_row, planned.steps), whole=["step"], out=out)
    for note in planned.notes:
        out.print(f"note: {note}", soft_wrap=True)


def _row(step: PlannedStep) -> list[Cell]:
    left = _left(step)
    runs = "?" if left is None else str(left)
    status = "completed" if step.is_reused else "running"
    return [
        step.id,
        str(len(step.reused)) if step.reused else "",
        "" if step.is_reused else coloured(runs, status),
        step.why,
    ]
