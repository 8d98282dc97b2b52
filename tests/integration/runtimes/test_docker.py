"""What only containers do."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest
from msgspec.structs import replace

from agentainer_flow.core.errors import CannotLaunch, RuntimeUnavailable
from agentainer_flow.reactors.runtimes.container_log import ContainerLog
from agentainer_flow.reactors.runtimes.contract import LogLine
from agentainer_flow.reactors.runtimes.docker import DockerRuntime
from agentainer_flow.reactors.runtimes.folder import job_name

from ..polling import until
from .bench import IMAGE, READY, Bench, launch, nowhere
from .conftest import containers_of
from .proxy import Proxy, proxied

pytestmark = [pytest.mark.anyio, pytest.mark.docker]

MEGABYTE = 1024 * 1024
EAT = "x = bytearray(); [x.extend(bytes(1_000_000)) for _ in range(400)]"


@pytest.fixture
def kind() -> str:
    return "docker"


@pytest.fixture
def client() -> Generator[docker.DockerClient, None, None]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def name(installation: str) -> str:
    """The name of the container of the job that `launch` makes."""
    return job_name(installation, "w1", "job-1")


def inspect(client: docker.DockerClient, name: str) -> dict[str, Any]:
    return client.containers.get(name).attrs


@asynccontextmanager
async def through_proxy(installation: str, root: Path) -> AsyncGenerator[tuple[Bench, Proxy], None]:
    """A bench whose daemon can be cut off."""
    with tempfile.TemporaryDirectory() as directory:  # paths of sockets are short
        path = Path(directory) / "docker.sock"
        async with proxied(path) as proxy:
            runtime = DockerRuntime(installation, root, host=f"unix://{path}")
            await runtime.open()

            async def another() -> DockerRuntime:
                return runtime

            yield Bench(runtime, another), proxy
            await runtime.close()


async def test_a_container_is_hardened(
    bench: Bench, client: docker.DockerClient, name: str
) -> None:
    await bench.runtime.start(launch(READY))
    attributes = inspect(client, name)
    host = attributes["HostConfig"]
    assert attributes["Config"]["User"] == "65534:65534"
    assert (host["Init"], host["ReadonlyRootfs"], host["Privileged"]) == (True, True, False)
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges:true"])
    assert (host["Memory"], host["MemorySwap"]) == (512 * MEGABYTE, 512 * MEGABYTE)
    assert (host["PidsLimit"], host["NetworkMode"]) == (256, "none")
    assert host["LogConfig"]["Config"] == {"max-size": "50m", "max-file": "2"}


async def test_a_container_has_the_labels_of_its_job(
    bench: Bench, client: docker.DockerClient, name: str, installation: str
) -> None:
    await bench.runtime.start(launch("pass"))
    labels = client.containers.get(name).labels
    assert {key: value for key, value in labels.items() if key != "agentainer.digest"} == {
        "agentainer.installation": installation,
        "agentainer.workflow": "w1",
        "agentainer.step": "prepare",
        "agentainer.index": "2",
        "agentainer.attempt": "1",
        "agentainer.job": "job-1",
    }


async def test_only_tmp_and_the_share_can_be_written(bench: Bench) -> None:
    code = """
import os
for path in ('tmp', 'agentainer', '', 'usr', 'dev'):
    try: print(path, open(f'/{path}/x', 'w').write('x'))
    except OSError as error: print(path, error.errno)
"""
    read_only, not_allowed = errno.EROFS, errno.EACCES
    assert (await bench.run(launch(code))).texts() == [
        "tmp 1",
        "agentainer 1",
        f" {read_only}",
        f"usr {read_only}",
        f"dev {not_allowed}",
    ]


async def test_what_an_agent_wrote_is_closed_to_other_users(
    bench: Bench, root: Path, name: str
) -> None:
    await bench.runtime.start(launch("pass"))
    assert (await anyio.Path(root / name).stat()).st_mode & 0o077 == 0


async def test_limits_are_passed_on_and_cpus_cut_to_those_there_are(
    bench: Bench, client: docker.DockerClient, name: str
) -> None:
    await bench.runtime.start(launch("pass", cpus=1000.0, pids=7, memory_bytes=64 * MEGABYTE))
    host = inspect(client, name)["HostConfig"]
    cpus = client.info()["NCPU"]
    assert (host["NanoCpus"], host["PidsLimit"]) == (cpus * 1e9, 7)
    assert host["Memory"] == host["MemorySwap"] == 64 * MEGABYTE


async def test_the_user_of_an_image_is_kept_also_when_it_is_built_anew(
    bench: Bench, client: docker.DockerClient
) -> None:
    base = client.containers.create(IMAGE)
    tag = f"agentainer-test-user-{os.getpid()}"
    code = "import os; print(os.getuid())"
    try:
        for user in ("1234", "1234", "4321"):
            base.commit(tag, changes=f"USER {user}")
            seen = await bench.run(replace(launch(code, job=f"job-{user}"), image=tag))
            assert seen.texts() == [user]
    finally:
        base.remove()
        client.images.remove(tag)
    with pytest.raises(CannotLaunch, match="cannot be pulled"):
        await bench.runtime.start(replace(launch("pass", job="late"), image=tag))


async def test_too_much_memory_is_told_from_other_kills(bench: Bench) -> None:
    outcome = (await bench.run(launch(EAT, memory_bytes=64 * MEGABYTE))).outcome
    assert (outcome.kind, outcome.exit_code) == ("oom_killed", 137)
    assert outcome.reason == "killed for memory, limit 64 MiB"
    outcome = (await bench.run(launch("import os; os.kill(os.getpid(), 9)"))).outcome
    assert (outcome.kind, outcome.exit_code) == ("failed", 137)


async def test_a_child_killed_for_memory_shows_although_the_agent_exits_with_0(
    bench: Bench,
) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {EAT!r}])"
    outcome = (await bench.run(launch(code, memory_bytes=64 * MEGABYTE))).outcome
    assert (outcome.kind, outcome.exit_code) == ("oom_killed", 0)


async def test_a_missing_image_says_what_to_do(bench: Bench) -> None:
    with pytest.raises(CannotLaunch) as caught:
        await bench.runtime.start(replace(launch("pass"), image="no-such-agent:1"))
    assert "'no-such-agent:1' is not here and cannot be pulled: " in caught.value.reason
    assert "docker build -t no-such-agent:1" in caught.value.reason


async def test_a_missing_network_cannot_start(bench: Bench) -> None:
    with pytest.raises(CannotLaunch, match="no-such-net") as caught:
        await bench.runtime.start(replace(launch("pass"), network="no-such-net"))
    assert caught.value.kind == "cannot_start"


async def test_a_container_created_but_never_started_is_started(
    bench: Bench, client: docker.DockerClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(DockerRuntime, "_start", die)
        with pytest.raises(InterruptedError):
            await bench.runtime.start(launch("print(1)"))
    assert client.containers.get(name).status == "created"
    assert await bench.adopts(launch("print(1)"))
    assert (await bench.runtime.follow(launch("print(1)"), nowhere)).kind == "succeeded"


async def test_a_container_of_that_name_that_is_not_ours_is_not_touched(
    bench: Bench, client: docker.DockerClient, name: str
) -> None:
    other = client.containers.create(IMAGE, name=name)
    try:
        with pytest.raises(CannotLaunch, match="was not made for this job"):
            await bench.runtime.start(launch("pass"))
        await bench.runtime.remove(launch("pass"))
        assert client.containers.get(name).status == "created"
    finally:
        other.remove()


async def test_a_container_that_vanished_is_lost(
    bench: Bench, client: docker.DockerClient, name: str
) -> None:
    async with bench.following(launch(READY)) as seen:
        await seen.until("ready")
        client.containers.get(name).remove(force=True)
    assert seen.outcome.kind == "lost"
    assert seen.outcome.reason == "somebody removed the container"


async def test_output_of_20_mb_is_passed_on_in_bounded_batches(bench: Bench) -> None:
    sizes: list[int] = []
    job = launch("for _ in range(20_000): print('x' * 1_000)")
    await bench.runtime.start(job)

    async def sink(lines: list[LogLine]) -> None:
        sizes.append(sum(len(line.text) for line in lines))

    await bench.runtime.follow(job, sink)
    assert sum(sizes) == 20_000_000
    assert max(sizes) < 2 * MEGABYTE


async def test_lost_connections_lose_no_line_and_bring_none_twice(
    bench: Bench, installation: str, root: Path
) -> None:
    code = "import time\nfor n in range(60): print(n, flush=True); time.sleep(0.01)"
    async with (
        through_proxy(installation, root) as (cut_off, proxy),
        cut_off.following(launch(code)) as seen,
    ):
        for number in (5, 20, 40):
            await seen.until(str(number))
            proxy.cut()
    assert seen.texts() == [str(number) for number in range(60)]
    assert seen.outcome.result == "59"


async def test_an_agent_that_ends_while_the_daemon_is_away_is_harvested(
    bench: Bench, installation: str, root: Path
) -> None:
    job = launch("print('ready', flush=True); print(7)")
    async with (
        through_proxy(installation, root) as (cut_off, proxy),
        cut_off.following(job) as seen,
    ):
        proxy.down = True
        proxy.cut()
        await bench.runtime.follow(job, nowhere)  # has its own way to the daemon
        proxy.down = False
    assert (seen.outcome.kind, seen.outcome.result) == ("succeeded", "7")
    assert seen.texts() == ["ready", "7"]


async def test_answer_that_may_be_lost_is_not_taken_for_none(
    bench: Bench, installation: str, root: Path
) -> None:
    # What an agent prints while its daemon restarts is in no log; it had succeeded with null.
    job = launch("import time; print('ready', flush=True); time.sleep(0.5)")
    async with (
        through_proxy(installation, root) as (cut_off, proxy),
        cut_off.following(job) as seen,
    ):
        await seen.until("ready")
        proxy.cut()
    assert (seen.outcome.kind, seen.outcome.exit_code) == ("lost", 0)
    assert "AGENTAINER_RESULT_PATH" in seen.outcome.reason


@pytest.mark.parametrize(("away", "ended", "result"), [(2, "succeeded", "7"), (99, "lost", "null")])
async def test_the_daemon_may_be_away_when_the_rest_is_fetched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, away: int, ended: str, result: str
) -> None:
    """A daemon that restarted just then left an answer unread, which counted as none."""
    original = ContainerLog._pass_on  # pyright: ignore[reportPrivateUsage]  # where it breaks
    tries = 0

    def fail(self: ContainerLog, *, follow: bool) -> None:
        nonlocal tries
        tries += not follow
        if follow or tries <= away:
            raise ConnectionError("the daemon restarts")
        original(self, follow=follow)

    monkeypatch.setattr(ContainerLog, "_pass_on", fail)
    job = launch("print(7)")
    await bench.runtime.start(job)
    outcome = await bench.runtime.follow(job, nowhere)
    assert (outcome.kind, outcome.result) == (ended, result)


async def test_a_container_whose_folder_was_lost_is_adopted(bench: Bench, root: Path) -> None:
    job = launch(READY)
    started = await bench.runtime.start(job)
    shutil.rmtree(root)
    again = await bench.runtime.start(job)
    assert started
    assert again
    assert (again.container, again.adopted) == (started.container, True)


async def test_a_start_without_connection_says_so_and_can_be_repeated(
    bench: Bench, installation: str, root: Path
) -> None:
    async with through_proxy(installation, root) as (cut_off, proxy):
        for job in ("job-1", "job-2"):  # the second is made while its image is looked at
            proxy.down = True
            proxy.cut()
            with pytest.raises(RuntimeUnavailable):
                await cut_off.runtime.start(launch("print(1)", job=job))
            proxy.down = False
            assert (await cut_off.outcome(launch("print(1)", job=job))).kind == "succeeded"


async def test_what_is_to_go_goes_when_the_daemon_is_back(
    bench: Bench, installation: str, root: Path
) -> None:
    # A launcher whose daemon was restarted while it removed a container ended with a traceback.
    job = launch(READY)
    async with through_proxy(installation, root) as (cut_off, proxy):
        await cut_off.runtime.start(job)
        proxy.down = True
        proxy.cut()
        async with anyio.create_task_group() as tasks:
            for end in (cut_off.runtime.stop, cut_off.runtime.remove):
                tasks.start_soon(end, job)
            await until(lambda: proxy.refused > 1)
            assert containers_of(installation) != []
            proxy.down = False
        assert containers_of(installation) == []


async def test_no_socket_is_said_with_what_to_do(installation: str, tmp_path: Path) -> None:
    runtime = DockerRuntime(installation, tmp_path, host=f"unix://{tmp_path}/none.sock")
    with pytest.raises(RuntimeUnavailable, match=r"no such socket: start Docker"):
        await runtime.open()


async def test_a_silent_daemon_is_given_up_soon(installation: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(f"{directory}/docker.sock")
        deaf.listen()
        runtime = DockerRuntime(installation, tmp_path, host=f"unix://{directory}/docker.sock")
        with anyio.fail_after(5), pytest.raises(RuntimeUnavailable, match="not answer in time"):
            await runtime.open()
