"""Who may talk to Redis how, read off the source: one place makes clients, only scripts write.

A client made elsewhere has the library's own retries, which repeat a write whose reply was lost; a
write outside of the scripts has no guard that would make a repetition harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import agentainer_flow

ROOT = Path(agentainer_flow.__file__).parent
ROOMS = sorted(path.name for path in ROOT.iterdir() if (path / "__init__.py").exists())

#: `make_client` is the constructor of connection.py; a bare `Redis` is a type.
CLIENT = re.compile(
    r"(?<!httpcore\.)\b(Redis|StrictRedis|RedisCluster|Sentinel|\w*ConnectionPool)(\(|\.from_\w+\()"
    r"|\bredis\.from_url\(|\b(make_client|Wire|Tail)\("
)
WRITE = re.compile(
    r"\.(xadd|xack|xackdel|xclaim|xautoclaim|xdel|xdelex|xgroup_delconsumer)\("
    r"|['\"](XADD|XACK|XACKDEL|XCLAIM|XAUTOCLAIM|XDEL|XDELEX|DELCONSUMER)\b"
)
#: Serves these commands itself.
SERVER = "core/memory/"
MAKERS = re.compile(r"core/(connection|wire|tail|embedded\w*)\.py")


def sources() -> Iterator[tuple[str, str]]:
    """(path below the package, line) of every line of the package's Python."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = f"{room}/{path.relative_to(ROOT / room)}"
            yield from ((name, line) for line in path.read_text().splitlines())


def test_every_room_is_read() -> None:
    read = {name.partition("/")[0] for name, _ in sources()}
    assert read >= {"api", "cli", "core", "projections", "reactors", "sdk"}


def test_clients_are_made_in_one_place() -> None:
    found = [x for x in sources() if CLIENT.search(x[1]) and not MAKERS.fullmatch(x[0])]
    assert found == []


def test_streams_are_written_by_scripts_only() -> None:
    found = [x for x in sources() if WRITE.search(x[1])]
    assert [x for x in found if not x[0].startswith(SERVER)] == []


@pytest.mark.parametrize(
    "line",
    [
        "client = Redis.from_url(url)",
        "client = redis.asyncio.Redis(host=host)",
        "pool = BlockingConnectionPool.from_url(url)",
        "client = redis.from_url(url)",
        "client = make_client(url)",
        "wire = Wire(url)",
    ],
)
def test_a_client_is_recognised(line: str) -> None:
    assert CLIENT.search(line)


@pytest.mark.parametrize("line", ["await redis.xadd(key, {})", 'execute_command("XACK", key)'])
def test_a_write_is_recognised(line: str) -> None:
    assert WRITE.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "def reader(self) -> Redis:",
        "await redis.xread(last)",
        "pool = httpcore.AsyncConnectionPool(",
    ],
)
def test_types_and_reads_are_none_of_them(line: str) -> None:
    assert not CLIENT.search(line)
    assert not WRITE.search(line)
