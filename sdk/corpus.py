"""A folder of exported histories against the code of today: what CI runs before a deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from ..core.definition import Definition, StepSpec
from ..core.errors import BundleDamaged
from ..projections.bundle import SUFFIX, decode_history
from ..projections.histories import History
from .verify import verify_history

#: Of a step: what runs that are under way go by, so that a change of it meets them.
_SHAPE = ("kind", "depends_on", "binds")


class Examined(msgspec.Struct, frozen=True):
    """What one file was found to be."""

    file: str
    workflow: str
    clean: bool
    events: int
    findings: list[str] = []


def find_files(folder: Path) -> list[Path]:
    """The histories below a folder, by name."""
    return sorted([*folder.rglob(f"*{SUFFIX}"), *folder.rglob(f"*{SUFFIX}.gz")])


def examine(path: Path, definitions: Mapping[str, Definition]) -> Examined:
    """Whether a file is undamaged, folds, was decided as today, and fits definitions by name."""
    try:
        history = decode_history(path.read_bytes())
    except BundleDamaged as error:
        return Examined(str(path), "", False, 0, [str(error)])
    verified = verify_history(history, frozenset({"log", "decisions"}))
    found = [str(one) for one in verified.findings]
    found += compare_with(history, definitions)
    return Examined(str(path), history.workflow, not found, len(history.events), found)


def definitions_of(references: Sequence[str]) -> dict[str, Definition]:
    """The definitions of classes by name. Raises DefinitionError."""
    from .registry import load

    codes = [code for reference in references for code in load(reference)]
    return {code.name: code.definition for code in codes}


def compare_with(history: History, definitions: Mapping[str, Definition]) -> Iterator[str]:
    """What of the steps that a history ran is no longer there, or other than it was."""
    view, old = history.fold(), history.definition
    new = definitions.get(view.name)
    if new is None or old is None:
        return
    for step in view.in_order(old):
        if step.status == "pending":
            continue
        if step.id not in new.by_id:
            yield f"definition {new.name}: step {step.id} was run, and is there no more"
        else:
            yield from _changes(new.name, old.by_id[step.id], new.by_id[step.id])


def _changes(name: str, old: StepSpec, new: StepSpec) -> Iterator[str]:
    facts = [(field, getattr(old, field), getattr(new, field)) for field in _SHAPE]
    facts.append(("parallel over", _over(old), _over(new)))
    for field, before, after in facts:
        if before != after:
            was, now = (msgspec.json.encode(one).decode() for one in (before, after))
            yield f"definition {name}: step {old.id} was run with {field} {was}, which is now {now}"


def _over(spec: StepSpec) -> object:
    return spec.parallel.over if spec.parallel else None
