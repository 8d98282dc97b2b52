"""What only local processes do."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from agentainer_flow.core.errors import CannotLaunch
from agentainer_flow.reactors.runtimes.contract import Launch, LogLine
from agentainer_flow.reactors.runtimes.group import read_group
from agentainer_flow.reactors.runtimes.process import INHERITED, ProcessRuntime

from .bench import READY, Bench, launch, nowhere

pytestmark = pytest.mark.anyio


@pytest.fixture
def kind() -> str:
    return "process"


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """A folder of agents with one in it: `team/echo`."""
    folder = tmp_path / "agents" / "team" / "echo"
    folder.mkdir(parents=True)
    (folder / "agent.json").write_text('{"command": ["./run", "hello"]}')
    (folder / "run").write_text('#!/bin/sh\necho "$1 from $(pwd)"\n')
    (folder / "run").chmod(0o755)
    return tmp_path / "agents"


@pytest.fixture
def own(bench: Bench, agents: Path, root: Path, installation: str) -> Bench:
    """A bench whose runtime has these agents."""
    return Bench(ProcessRuntime(installation, root, agents), bench.another)


def declared(image: str) -> Launch:
    return replace(launch(""), image=image, command=None)


def record(root: Path) -> Path:
    (path,) = root.glob("*/process")
    return path


async def test_an_image_is_a_folder_whose_agent_json_has_the_command(
    own: Bench, agents: Path
) -> None:
    seen = await own.run(declared("ghcr.io/team/echo:3"))
    assert seen.texts() == [f"hello from {agents / 'team' / 'echo'}"]


async def test_a_missing_folder_is_named_with_the_setting(own: Bench, agents: Path) -> None:
    with pytest.raises(CannotLaunch) as caught:
        await own.runtime.start(declared("fetcher:latest"))
    assert f"no folder {agents / 'fetcher'}" in caught.value.reason
    assert "AGENTAINER_AGENTS" in caught.value.reason


@pytest.mark.parametrize("content", ["{", '{"command": "x"}', '{"command": []}', '{"cmd": ["x"]}'])
async def test_a_wrong_agent_json_cannot_start(own: Bench, agents: Path, content: str) -> None:
    (agents / "team/echo/agent.json").write_text(content)
    assert (await own.outcome(declared("team/echo"))).kind == "cannot_start"


async def test_a_command_without_a_folder_runs_in_a_folder_of_its_own(
    bench: Bench, root: Path
) -> None:
    seen = await bench.run(launch("import os; print(os.getcwd())"))
    assert Path(seen.texts()[0]).is_relative_to(root)


async def test_little_is_inherited(bench: Bench) -> None:
    seen = await bench.run(launch("import json, os; print(json.dumps(list(os.environ)))"))
    names = {name for name in json.loads(seen.outcome.result) if "AGENTAINER" not in name}
    assert names <= {*INHERITED, "PWD"}


async def test_children_of_an_agent_end_with_it(bench: Bench, root: Path) -> None:
    """A job whose child stays would keep its group; the bench looks for such processes."""
    code = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[0]]).pid)"
    )
    job = launch(code.replace("sys.argv[0]", repr("import signal; signal.pause()")))
    assert (await bench.run(job)).outcome.kind == "succeeded"


async def test_a_job_that_was_killed_with_its_shell_is_lost(bench: Bench, root: Path) -> None:
    job = launch(READY)
    async with bench.following(job) as seen:
        await seen.until("ready")
        group = read_group(record(root))
        assert group is not None
        os.killpg(group.pid, signal.SIGKILL)
    assert seen.outcome.kind == "lost"
    assert "killed from outside" in seen.outcome.reason


async def test_an_agent_left_by_its_shell_is_killed_by_remove(bench: Bench, root: Path) -> None:
    job = launch(READY)
    async with bench.following(job) as seen:
        await seen.until("ready")
        group = read_group(record(root))
        assert group is not None
        os.kill(group.pid, signal.SIGKILL)
    assert seen.outcome.kind == "lost"
    await bench.runtime.remove(job)


async def test_a_number_that_another_process_got_is_left_alone(bench: Bench, root: Path) -> None:
    """After a restart of the host the recorded number may be anybody's: here it is ours."""
    job = launch("print(1)")
    await bench.runtime.start(job)
    await bench.runtime.follow(job, nowhere)
    stat = await anyio.Path(f"/proc/{os.getpid()}/stat").read_text()
    name, after, fields = stat.rpartition(")")
    born_before = fields.split()
    born_before[19] = "1"
    record(root).write_text(f"{name}{after} {' '.join(born_before)}\n")
    await bench.runtime.stop(job)
    await bench.runtime.remove(job)


async def test_output_of_20_mb_is_passed_on_in_bounded_batches(bench: Bench) -> None:
    sizes: list[int] = []
    job = launch("for _ in range(20_000): print('x' * 1_000)")
    await bench.runtime.start(job)

    async def sink(lines: list[LogLine]) -> None:
        sizes.append(len(lines))

    await bench.runtime.follow(job, sink)
    assert sum(sizes) == 20_000
    assert max(sizes) < 10_000
