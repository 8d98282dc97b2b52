from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import docker
import pytest

from agentainer_flow.reactors.runtimes.contract import Launch, Runtime
from agentainer_flow.reactors.runtimes.docker import DockerRuntime
from agentainer_flow.reactors.runtimes.process import ProcessRuntime

from ..polling import until
from .bench import Bench

AGENTS = Path(__file__).parents[3] / "examples" / "agents"
RESULT_LIMIT = 100_000


@pytest.fixture(params=[pytest.param("docker", marks=pytest.mark.docker), "process"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which runtime; a file about one of them overrides this."""
    return str(request.param)


@pytest.fixture
def installation() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the runtime keeps its files."""
    return tmp_path / "jobs"


@pytest.fixture(scope="session")
def images() -> None:
    """Have the Python image, which needs no registry."""
    subprocess.run([AGENTS / "build"], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def make(
    kind: str, root: Path, installation: str, request: pytest.FixtureRequest
) -> Callable[[], Awaitable[Runtime]]:
    """Make and open the runtime, as many times as asked."""
    if kind == "docker":
        request.getfixturevalue("images")

    async def opened() -> Runtime:
        runtime: Runtime = (
            DockerRuntime(installation, root, result_limit=RESULT_LIMIT)
            if kind == "docker"
            else ProcessRuntime(installation, root, AGENTS, result_limit=RESULT_LIMIT)
        )
        await runtime.open()
        return runtime

    return opened


@pytest.fixture
async def bench(
    make: Callable[[], Awaitable[Runtime]], kind: str, root: Path, installation: str
) -> AsyncGenerator[Bench, None]:
    """A runtime that must have removed all it made when its leftovers were removed."""
    runtimes: list[Runtime] = []

    async def another() -> Runtime:
        runtimes.append(await make())
        return runtimes[-1]

    runtime = await another()
    yield Bench(runtime, another)
    for workflow, job in await runtime.leftovers():
        await runtime.remove(bare(workflow, job))
    for one in runtimes:
        await one.close()
    await until(lambda: not remains(root), seconds=10)  # who was killed takes a moment to go
    if kind == "docker":
        assert containers_of(installation) == []


def bare(workflow: str, job: str) -> Launch:
    """What is known of a job when only its name is."""
    return Launch(workflow=workflow, step="", index=0, attempt=0, job=job, image="")


def remains(root: Path) -> list[Path]:
    """Find files below root, and processes that were told of one."""
    processes = [path.parent for path in Path("/proc").glob("[0-9]*/environ") if tells(path, root)]
    return [*root.glob("*"), *processes]


def tells(environ: Path, root: Path) -> bool:
    try:
        return str(root).encode() in environ.read_bytes()
    except OSError:  # it ended meanwhile
        return False


def containers_of(installation: str) -> list[str]:
    client = docker.from_env()
    try:
        mine = f"agentainer.installation={installation}"
        found = client.containers.list(all=True, filters={"label": mine})
        return [str(container.name) for container in found]
    finally:
        client.close()
