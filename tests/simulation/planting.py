"""Plant a known bug: other text in a script as it is loaded, or in a function of Python."""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import msgspec

from agentainer_flow.core import library

#: What the library keeps of the texts that it has read.
CACHED: list[Any] = [
    library.library,
    library.function,
    library.script,
    library._shared,  # pyright: ignore[reportPrivateUsage] - the bug has to get in somewhere
]


class Mutant(msgspec.Struct, frozen=True):
    """A bug: `old` gives way to `new`."""

    name: str
    #: `settle_job.lua`, `parts/jobs.lua`, or `reactors.lane:Lane._read` of our package.
    place: str
    old: str
    new: str


class Moved(Exception):
    """Raised when what a bug was to be planted in is no longer there."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(f"{mutant.name}: {mutant.place} has no such text: {mutant.old!r}")


@contextmanager
def planted(mutant: Mutant) -> Generator[None]:
    """The bug is there as long as the context lasts. Raises Moved."""
    plant = _in_script if mutant.place.endswith(".lua") else _in_function
    with plant(mutant):
        yield


@contextmanager
def _in_script(mutant: Mutant) -> Generator[None]:
    module: Any = library
    read: Callable[[str], str] = module._read

    def read_changed(name: str) -> str:
        text = read(name)
        return _changed(mutant, text) if f"{name}.lua" == mutant.place else text

    _forget()
    module._read = read_changed
    try:
        library.library()
        yield
    finally:
        module._read = read
        _forget()


def _forget() -> None:
    for cached in CACHED:
        cached.cache_clear()


@contextmanager
def _in_function(mutant: Mutant) -> Generator[None]:
    module_name, _, path = mutant.place.partition(":")
    module = importlib.import_module(f"agentainer_flow.{module_name}")
    owner: Any = module
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    function: Callable[..., Any] = owner.__dict__[name]
    source = _changed(mutant, textwrap.dedent(inspect.getsource(function)))
    made: dict[str, Any] = {}
    code = compile(f"from __future__ import annotations\n{source}", f"<{mutant.name}>", "exec")
    exec(code, vars(module), made)  # noqa: S102 - it is our own text
    setattr(owner, name, made[name])
    try:
        yield
    finally:
        setattr(owner, name, function)


def _changed(mutant: Mutant, text: str) -> str:
    if mutant.old not in text:
        raise Moved(mutant)
    return text.replace(mutant.old, mutant.new, 1)
