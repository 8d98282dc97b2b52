"""Lua as Redis runs it: the same language, the same few modules, the same ways of answering."""

from __future__ import annotations

import hashlib
import importlib
import struct
import threading
from functools import cache
from importlib import resources
from typing import Any, cast

from .database import Database
from .table import COMMANDS
from .values import Args, Failure, Reply, Status

MISSING = (
    "memory:// runs the scripts of Redis with lupa, which is not installed: "
    "pip install 'agentainer-flow[testing]'"
)
#: Longest array that goes to Lua as so many results of a call.
_MOST_RESULTS = 200


class Interpreter:
    """One Lua for all servers of this process: scripts are compiled once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lua = _runtime()
        self._db: Database | None = None
        self._host = self._start()
        self._call, self._eval = self._host.call, self._host.eval
        self._scripts: dict[bytes, Any] = {}
        self._libraries: dict[bytes, dict[bytes, Any]] = {}

    def _start(self) -> Any:
        cjson = self._module("cjson", _to_utf8)
        cmsgpack = self._module("cmsgpack", _pack_real, _unpack_real)
        return self._module("sandbox", self._send, _sha1hex, cjson, cmsgpack)

    def _module(self, name: str, *arguments: Any) -> Any:
        text = (resources.files(__package__ or "") / "lua" / f"{name}.lua").read_bytes()
        load = self._lua.eval(b"function(text, name) return assert(loadstring(text, name)) end")
        return load(text, f"@{name}".encode())(*arguments)

    def compile(self, text: bytes) -> Any:
        """The function of a script."""
        if text not in self._scripts:
            self._scripts[text] = self._compile(text, b"@user_script")
        return self._scripts[text]

    def load(self, code: bytes) -> dict[bytes, Any]:
        """The functions of a library, by name."""
        if code not in self._libraries:
            found = self._host.load(self._compile(code, b"@user_function"))
            if isinstance(found, tuple):
                problem = cast("bytes", found[1]).decode(errors="replace")
                raise Failure(f"ERR Error registering functions: {problem}")
            parts = list(found.values())
            self._libraries[code] = dict(zip(parts[::2], parts[1::2], strict=True))
        return self._libraries[code]

    def _compile(self, text: bytes, name: bytes) -> Any:
        chunk = self._host.compile(text, name)
        if isinstance(chunk, tuple):
            problem = cast("bytes", chunk[1]).decode(errors="replace")
            raise Failure(f"ERR Error compiling {name[6:].decode()} (new function): {problem}")
        return chunk

    def call(self, db: Database, function: Any, name: str, number: int, args: Args) -> Reply:
        """Run a function of a library; the first `number` arguments are keys."""
        return self._run(db, self._call, function, name, number, args)

    def eval(self, db: Database, script: Any, name: str, number: int, args: Args) -> Reply:
        """Run a script."""
        return self._run(db, self._eval, script, name, number, args)

    def _run(
        self, db: Database, way: Any, function: Any, name: str, number: int, args: Args
    ) -> Reply:
        with self._lock:
            self._db = db
            try:
                answer = way(function, number, *args)
            finally:
                self._db = None
        if isinstance(answer, bytes):
            return answer
        if isinstance(answer, tuple):
            raise _failure(name, *cast(Any, answer)[1:])
        return _reply_of(answer)

    def _send(self, name: Any = None, *given: Any) -> Any:
        """A command from Lua; its answer as sandbox.lua takes it."""
        try:
            args = [one if type(one) is bytes else _argument(one) for one in given]
            answer = self._apply(name, args)
        except Failure as failure:
            return None, failure.text.encode()
        kind = type(answer)
        return answer if kind is bytes or kind is int else self._to_lua(answer)

    def _apply(self, name: Any, args: Args) -> Reply:
        found = COMMANDS.get(name) or COMMANDS.get(_argument(name).upper())
        if found is None:
            raise Failure("ERR Unknown Redis command called from script")
        if not found.least <= len(args) <= found.most:
            raise Failure("ERR Wrong number of args calling Redis command from script")
        db = self._db
        if db is None or found.name in _FORBIDDEN:
            raise Failure("ERR This Redis command is not allowed from script")
        if found.writes:
            db.wrote = True
        return found.run(db, args)

    def _to_lua(self, answer: Reply) -> Any:
        if answer is None:
            return False
        if not isinstance(answer, list):
            return (False, bytes(answer)) if isinstance(answer, Status) else answer
        if len(answer) > _MOST_RESULTS or list in map(type, answer):
            return self._table(answer)
        if None in answer:
            return (True, *[False if one is None else one for one in answer])
        return (True, *answer)

    def _table(self, answer: list[Reply]) -> Any:
        values = [
            self._table(one) if isinstance(one, list) else False if one is None else one
            for one in answer
        ]
        return self._lua.table_from(values)


#: What a script may not ask for.
_FORBIDDEN = frozenset(
    ("eval", "evalsha", "fcall", "function", "script", "multi", "exec", "discard", "hello", "auth")
)


def _argument(value: Any) -> bytes:
    """A number as Redis writes it; strings are bytes already."""
    if type(value) is bytes:
        return value
    if type(value) is int:
        return b"%d" % value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Failure("ERR Lua redis lib command arguments must be strings or integers")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return b"%d" % value if isinstance(value, int) else b"%.17g" % value


def _failure(name: str, text: bytes, source: bytes | None = None, line: int = 0) -> Failure:
    where = f", on {source.decode()}:{line}" if source else ""
    return Failure(f"{text.decode(errors='replace')} script: {name}{where}.")


def _reply_of(value: Any) -> Reply:
    """What a script answers, as clients see it."""
    if value is None or value is False:
        return None
    if isinstance(value, bytes | int | float):
        return value if isinstance(value, bytes) else int(value)
    if (problem := value[b"err"]) is not None:
        raise Failure(problem.decode(errors="replace"))
    if (word := value[b"ok"]) is not None:
        return Status(word)
    found: list[Reply] = []
    while (one := value[len(found) + 1]) is not None:
        found.append(_reply_of(one))
    return found


def _pack_real(number: float) -> bytes:
    """As cmsgpack does: short where nothing is lost by it."""
    try:
        short = struct.pack(">f", number)
    except OverflowError:
        return b"\xcb" + struct.pack(">d", number)
    exact = struct.unpack(">f", short)[0] == number
    return b"\xca" + short if exact else b"\xcb" + struct.pack(">d", number)


def _unpack_real(text: bytes) -> float:
    return float(struct.unpack(">f" if len(text) == 4 else ">d", text)[0])


def _to_utf8(point: int) -> bytes:
    return chr(point).encode(errors="surrogatepass")


def _sha1hex(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def _runtime() -> Any:
    try:
        lupa = importlib.import_module("lupa.lua51")
    except ImportError as error:
        raise ModuleNotFoundError(MISSING) from error
    lua = lupa.LuaRuntime(encoding=None, unpack_returned_tuples=True, register_eval=False)
    lua.execute(b"collectgarbage('setpause', 400)")  # what lives is small, and most dies at once
    return lua


@cache
def interpreter() -> Interpreter:
    """Raises ModuleNotFoundError, saying what to install."""
    return Interpreter()
