"""Several processes lock, make and delete the folder of a job at the same time."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from agentainer_flow.reactors.runtimes.folder import JobFolder

pytestmark = pytest.mark.anyio

ROUNDS = 300


async def test_folder_that_goes_while_it_is_made_is_made_again(tmp_path: Path) -> None:
    # A launcher ended with FileExistsError when another one deleted the folder at that moment.
    folder = JobFolder(tmp_path, "i", "w", "j")
    alone = True

    def come_and_go() -> None:
        async def main() -> None:
            nonlocal alone
            for _ in range(ROUNDS):
                async with folder.locked() as handle:
                    assert alone
                    alone = False
                    assert os.path.samestat(os.fstat(handle), folder.path.stat())
                    folder.prepare()
                    alone = True  # once the folder is gone, the next one may make it
                    folder.remove()

        anyio.run(main)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(anyio.to_thread.run_sync, come_and_go)
