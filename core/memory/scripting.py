"""Commands that run scripts and keep them."""

from __future__ import annotations

import hashlib
import re

from .database import Database
from .interpreter import interpreter
from .table import choose, command
from .values import OK, Args, Failure, Reply, integer

_SHEBANG = re.compile(rb"#!lua\s+name=(\w+)[ \t]*\r?(?=\n|$)")


def _split(args: Args) -> tuple[int, Args]:
    """(number of keys, keys and arguments)"""
    number = integer(args[1])
    if number < 0:
        raise Failure("ERR Number of keys can't be negative")
    if number > len(args) - 2:
        raise Failure("ERR Number of keys can't be greater than number of args")
    return number, args[2:]


def _sha1(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


@command("FCALL", 2, None)
def fcall(db: Database, args: Args) -> Reply:
    function = db.code.functions.get(args[0])
    if function is None:
        raise Failure("ERR Function not found")
    number, rest = _split(args)
    return interpreter().call(db, function, args[0].decode(), number, rest)


@command("EVAL", 2, None)
def eval_(db: Database, args: Args) -> Reply:
    sha = _sha1(args[0])
    script = interpreter().compile(args[0])
    db.code.scripts[sha] = args[0]
    number, rest = _split(args)
    return interpreter().eval(db, script, sha.decode(), number, rest)


@command("EVALSHA", 2, None)
def evalsha(db: Database, args: Args) -> Reply:
    sha = args[0].lower()
    if sha not in db.code.scripts:
        raise Failure("NOSCRIPT No matching script. Please use EVAL.")
    number, rest = _split(args)
    script = interpreter().compile(db.code.scripts[sha])
    return interpreter().eval(db, script, sha.decode(), number, rest)


@command("SCRIPT", 1, None)
def script(db: Database, args: Args) -> Reply:
    choices = {b"LOAD": _load_script, b"EXISTS": _exist_scripts, b"FLUSH": _flush_scripts}
    return choose("SCRIPT", args, choices)(db, args)


def _load_script(db: Database, args: Args) -> Reply:
    interpreter().compile(args[1])
    db.code.scripts[_sha1(args[1])] = args[1]
    return _sha1(args[1])


def _exist_scripts(db: Database, args: Args) -> Reply:
    return [int(sha in db.code.scripts) for sha in args[1:]]


def _flush_scripts(db: Database, args: Args) -> Reply:
    db.code.scripts.clear()
    return OK


@command("FUNCTION", 1, None, writes=True)
def function(db: Database, args: Args) -> Reply:
    choices = {b"LOAD": _load, b"LIST": _list, b"DELETE": _delete, b"FLUSH": _flush}
    return choose("FUNCTION", args, choices)(db, args)


def _load(db: Database, args: Args) -> Reply:
    replaces = args[1].upper() == b"REPLACE"
    text = args[-1]
    named = _SHEBANG.match(text)
    if named is None:
        raise Failure("ERR Missing library metadata")
    name = named[1]
    if name in db.code.libraries and not replaces:
        raise Failure(f"ERR Library '{name.decode()}' already exists")
    db.code.keep(name, interpreter().load(text[named.end() :]))
    return name


def _list(db: Database, args: Args) -> Reply:
    found: list[Reply] = []
    for name, functions in db.code.libraries.items():
        each: list[Reply] = [
            [b"name", one, b"description", None, b"flags", []] for one in functions
        ]
        found.append([b"library_name", name, b"engine", b"LUA", b"functions", each])
    return found


def _delete(db: Database, args: Args) -> Reply:
    if not db.code.drop(args[1]):
        raise Failure("ERR Library not found")
    return OK


def _flush(db: Database, args: Args) -> Reply:
    for name in list(db.code.libraries):
        db.code.drop(name)
    return OK
