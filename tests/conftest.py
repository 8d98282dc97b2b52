"""What all tests share: a throw-away Redis per worker, settings that use it, and what is required.

A test marked `docker` is skipped where no daemon answers. `--require docker` turns that skip into
a failure, so that a run that promises Docker cannot pass without it.
"""

from __future__ import annotations

import functools
import gc
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agentainer_flow.core.memory import serve
from agentainer_flow.core.redis_program import Program, find_programs
from agentainer_flow.core.settings import Settings, load_settings


@functools.cache
def docker_problem() -> str | None:
    """Say why no Docker daemon can be used; None when one answers."""
    # Where it cannot connect, docker-py leaves its socket open: collected here, not in a test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        problem = _ask_docker()
        gc.collect()
    return problem


def _ask_docker() -> str | None:
    try:
        client = docker.from_env(timeout=2)
        try:
            client.ping()
        finally:
            client.close()
    except (docker.errors.DockerException, OSError) as error:
        return f"no Docker daemon answers: {error}"
    return None


#: What a marker of this name needs, as a question that answers with the problem.
NEEDS: dict[str, Callable[[], str | None]] = {"docker": docker_problem}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        action="append",
        default=[],
        choices=sorted(NEEDS),
        metavar="NAME",
        help="fail instead of skip when this is missing: " + ", ".join(sorted(NEEDS)),
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    required: list[str] = item.config.getoption("--require") or []
    for name, find_problem in NEEDS.items():
        if item.get_closest_marker(name) and (problem := find_problem()):
            if name in required:
                pytest.fail(f"--require {name}: {problem}", pytrace=False)
            pytest.skip(problem)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that keeps nothing, of the newest program here, one per test process."""
    with _running(max(find_programs(), key=lambda program: program.version)) as url:
        yield url


#: The Redis in this process, which `settings` serves anew for each test.
MEMORY = "memory://test"


@pytest.fixture(scope="session", params=find_programs(), ids=str)
def real_redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A Redis of every program here in turn."""
    with _running(request.param) as url:
        yield url


@pytest.fixture(scope="session", params=[*find_programs(), MEMORY], ids=str)
def each_redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A Redis of every program here in turn, and the one in memory; a file of tests makes it its
    `redis_url`."""
    if request.param == MEMORY:
        yield MEMORY
        return
    with _running(request.param) as url:
        yield url


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a test, with an empty database and a home of its own."""
    with serve("test") if redis_url == MEMORY else _emptied(redis_url):
        yield load_settings(environ={}, redis_url=redis_url, home=tmp_path, runtime="process")


@contextmanager
def _emptied(url: str) -> Generator[None]:
    with _client(url) as client:
        client.flushall()
    yield


@contextmanager
def _running(program: Program) -> Generator[str]:
    # Not below tmp_path: the path of a unix socket is short.
    directory = Path(tempfile.mkdtemp(prefix="agentainer-test-"))
    url = f"unix://{directory}/redis.sock"
    try:
        with _serve(program.path, directory):
            _wait_for(url)
            yield url
    finally:
        shutil.rmtree(directory)


@contextmanager
def _serve(program: str, directory: Path) -> Generator[None]:
    # The shell ends the server when its input closes, so also when the test process is killed.
    shell = '"$@" & cat; kill $!; wait'
    options = f"--port 0 --unixsocket {directory}/redis.sock --dir {directory} --appendonly no"
    command = ["sh", "-c", shell, "sh", program, *options.split(), "--save", ""]
    log = directory / "redis.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, start_new_session=True),
    ):
        yield


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 10
    with _client(url) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))
