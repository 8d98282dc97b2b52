"""Commands about the server and the connection."""

from __future__ import annotations

import fnmatch

from .database import Database
from .table import choose, command
from .values import OK, Args, Failure, Reply, Status, integer

#: The Redis that this one is like.
VERSION = "7.2.0"


@command("PING", 0, 1)
def ping(db: Database, args: Args) -> Reply:
    return args[0] if args else Status(b"PONG")


@command("ECHO", 1)
def echo(db: Database, args: Args) -> Reply:
    return args[0]


@command("SELECT", 1)
def select(db: Database, args: Args) -> Reply:
    if integer(args[0]) != 0:
        raise Failure("ERR DB index is out of range")
    return OK


@command("TIME")
def time(db: Database, args: Args) -> Reply:
    seconds, micros = divmod(db.micros, 1_000_000)
    return [b"%d" % seconds, b"%d" % micros]


@command("WAIT", 2)
def wait(db: Database, args: Args) -> Reply:
    return db.replicas


@command("CLIENT", 1, None)
def client(db: Database, args: Args) -> Reply:
    done = dict.fromkeys((b"SETINFO", b"SETNAME", b"NO-EVICT", b"NO-TOUCH"), _done)
    return choose("CLIENT", args, {**done, b"ID": _id, b"GETNAME": _name})(db, args)


def _done(db: Database, args: Args) -> Reply:
    return OK


def _id(db: Database, args: Args) -> Reply:
    return 1


def _name(db: Database, args: Args) -> Reply:
    return None


@command("CONFIG", 1, None)
def config(db: Database, args: Args) -> Reply:
    choices = {b"GET": _get_options, b"SET": _set_options, b"RESETSTAT": _done}
    return choose("CONFIG", args, choices)(db, args)


def _get_options(db: Database, args: Args) -> Reply:
    patterns = [pattern.lower().decode() for pattern in args[1:]]
    return [
        part
        for name, value in db.options.items()
        if any(fnmatch.fnmatchcase(name.decode(), pattern) for pattern in patterns)
        for part in (name, value)
    ]


def _set_options(db: Database, args: Args) -> Reply:
    db.options.update(zip(args[1::2], args[2::2], strict=True))
    return OK


@command("INFO", 0, None)
def info(db: Database, args: Args) -> Reply:
    sections: dict[str, dict[str, str | int]] = {
        "Server": {"redis_version": VERSION, "redis_mode": "standalone", "run_id": "0" * 40},
        "Memory": {
            "used_memory": 0,
            "maxmemory": db.options[b"maxmemory"].decode(),
            "maxmemory_policy": db.options[b"maxmemory-policy"].decode(),
        },
        "Persistence": {
            "loading": 0,
            "rdb_last_bgsave_status": "ok",
            "aof_enabled": int(db.options[b"appendonly"] == b"yes"),
            "aof_last_write_status": "ok",
        },
        "Replication": {"role": "master", "connected_slaves": db.replicas},
        "Keyspace": {"db0": f"keys={len(db.values)},expires={len(db.deadlines)},avg_ttl=0"},
    }
    wanted = {arg.decode().lower() for arg in args} - {"all", "default", "everything"}
    lines: list[str] = []
    for name, facts in sections.items():
        if not wanted or name.lower() in wanted:
            lines += [f"# {name}", *(f"{field}:{value}" for field, value in facts.items()), ""]
    return "\r\n".join(lines).encode()
