"""The workflow classes of this process, by name; and loading them from where they are written."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

import structlog

from ..core.errors import DefinitionError
from .graph import FILE, WorkflowCode

#: Where a class keeps its code, and an instance the arguments it was made with.
CODE = "__agentainer_workflow__"
INIT = "__agentainer_init__"

log = structlog.get_logger()


class RunWhileLoading(BaseException):
    """Raised where a file that is loaded for its classes calls run() or start() itself.

    Not an Exception: nothing in the file is to go on after it.
    """


#: The file or module that `load` is reading, if any.
_loading: ContextVar[str | None] = ContextVar("agentainer_loading", default=None)

_by_name: dict[str, WorkflowCode] = {}


def register(code: WorkflowCode) -> None:
    """Raises DefinitionError when another class has the name already."""
    known = _by_name.get(code.name)
    if known and _origin(known.cls) != _origin(code.cls) and not _are_apart(known.cls, code.cls):
        raise DefinitionError(
            code.name,
            f"{code.reference} and {known.reference} have the same name; give one of them another: "
            "workers find the code of a run by it",
        )
    _by_name[code.name] = code


def code_of(cls: type) -> WorkflowCode:
    code = vars(cls).get(CODE)
    if not isinstance(code, WorkflowCode):
        raise DefinitionError(cls.__name__, "is not a workflow; decorate the class with @workflow")
    return code


def refuse_while_loading() -> None:
    """Raises RunWhileLoading: loading a class must not run workflows."""
    if _loading.get() is not None:
        raise RunWhileLoading


def init_of(workflow: object) -> object:
    """The arguments an instance was made with: `{"args": […], "kwargs": {…}}`."""
    return vars(workflow).get(INIT)


def load(reference: str) -> list[WorkflowCode]:
    """Import `MODULE:CLASS`, `FILE.py:CLASS`, or all workflow classes of a module or file.

    Raises DefinitionError saying what was looked for and what is there.
    """
    place, _, name = reference.partition(":")
    token = _loading.set(place)
    try:
        module = _import(place)
    finally:
        _loading.reset(token)
    there = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and CODE in vars(value)
    }
    if name and name not in there:
        listed = ", ".join(sorted(there)) or "none"
        raise DefinitionError(reference, f"no workflow class {name!r} in {place}; there: {listed}")
    if not there:
        raise DefinitionError(
            reference, f"no workflow class in {place}; decorate one with @workflow"
        )
    return [code_of(there[name])] if name else [code_of(cls) for cls in there.values()]


def _import(place: str) -> ModuleType:
    path = Path(place)
    try:
        if path.suffix == ".py":
            return _import_file(path)
        if not place or place.startswith("."):
            raise ModuleNotFoundError(f"{place!r} is not the name of a module")
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(place)
    except RunWhileLoading as error:
        raise DefinitionError(
            place,
            "calls run() or start() while it is imported; put that below "
            '`if __name__ == "__main__":`',
        ) from error
    except (ImportError, SyntaxError, FileNotFoundError) as error:
        raise DefinitionError(
            place, f"cannot be imported: {error}. Give MODULE:CLASS or FILE.py:CLASS"
        ) from error


def _import_file(path: Path) -> ModuleType:
    """Import a file under its own name, its folder importable as when Python runs it."""
    path = path.absolute()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    known = sys.modules.get(path.stem)
    if known and getattr(known, "__file__", None) == str(path):
        return known
    name = path.stem if known is None else f"agentainer_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    setattr(module, FILE, True)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RunWhileLoading:
        log.warning(
            "file.read_up_to_its_run",
            file=str(path),
            remedy='put what follows the classes below `if __name__ == "__main__":`',
        )
    return module


def _are_apart(one: type, other: type) -> bool:
    """Whether both are local to functions, and to different ones: tests reuse names freely."""
    scopes = [cls.__qualname__.rpartition(".<locals>.")[0] for cls in (one, other)]
    return all(scopes) and scopes[0] != scopes[1]


def _origin(cls: type) -> tuple[str, str]:
    module = sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or cls.__module__, cls.__qualname__
