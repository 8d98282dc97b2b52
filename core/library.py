"""All Lua of this release as one library of functions, which Redis keeps.

Redis makes the functions of a library once, and those of a script anew with each call, which costs
more than most calls do. The library is named after its content, so that releases do not get in each
other's way. Where Redis has no functions (before 7.0), or does not let us load them, the same text
goes as a script.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

#: What scripts share, each part made of those before it.
PARTS = (
    "listings",
    "lifetimes",
    "leases",
    "rings",
    "timers",
    "jobs",
    "settling",
    "starting",
    "committing",
    "claiming",
    "groups",
    "deliveries",
    "recalling",
    "rebuilding",
)

#: While the library is loaded, `redis` can do nothing but this.
_REGISTER = "local register_function = redis.register_function"

_FOLDER = resources.files(__name__.rpartition(".")[0]) / "lua"


@cache
def names() -> tuple[str, ...]:
    """The scripts there are."""
    files = sorted(file.name for file in _FOLDER.iterdir() if file.name.endswith(".lua"))
    return tuple(name.removesuffix(".lua") for name in files if name != "prelude.lua")


@cache
def library() -> tuple[str, str]:
    """(name, text) of the library."""
    bodies = {name: _read(name) for name in names()}
    version = _digest(_shared() + "".join(bodies.values()))[:8]
    library = f"agentainer_{version}"
    functions = [
        f"register_function('{library}_{name}', function(keys, args)\nbegin(args[1])\n{body}\nend)"
        for name, body in bodies.items()
    ]
    return library, "\n".join([f"#!lua name={library}", _REGISTER, _shared(), *functions])


@cache
def function(name: str) -> str:
    """What the library calls a script."""
    return f"{library()[0]}_{name}"


@cache
def script(name: str) -> tuple[str, str]:
    """(text, sha1) of a script, for a Redis without functions."""
    text = "\n".join([_shared(), "begin(ARGV[1])", _read(name)])
    return text, _digest(text)


@cache
def _shared() -> str:
    return "\n".join([_read("prelude"), *(_read(f"parts/{part}") for part in PARTS)])


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text()


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
