"""A launcher in a process of its own, to be killed: runs one job and prints its lines.

Arguments: runtime, folder of its files, installation, Python code of the agent.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from agentainer_flow.reactors.runtimes.contract import LogLine, Runtime
from agentainer_flow.reactors.runtimes.docker import DockerRuntime
from agentainer_flow.reactors.runtimes.process import ProcessRuntime

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.integration.runtimes.bench import launch


async def main(kind: str, root: str, installation: str, code: str) -> None:
    runtime: Runtime = (
        DockerRuntime(installation, Path(root))
        if kind == "docker"
        else ProcessRuntime(installation, Path(root), Path(root))
    )
    await runtime.open()
    await runtime.start(launch(code))
    await runtime.follow(launch(code), show)


async def show(lines: list[LogLine]) -> None:
    for line in lines:
        print(line.text, flush=True)


_, kind, root, installation, code = sys.argv
anyio.run(main, kind, root, installation, code)
