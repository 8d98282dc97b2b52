"""A short chaos run: real processes under faults, judged from what they left (see tests/chaos)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Short, with a short lease: `bin/chaos` runs longer, with the one that installations have.
SHORT = ["--minutes", "0.4", "--lease", "2", "--rate", "2", "--only-safety"]


def run_chaos(*arguments: str) -> str:
    """What a run prints; nothing may be wrong with it."""
    command = [sys.executable, "-m", "tests.chaos", *SHORT, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nothing_happens_twice_under_faults() -> None:
    assert "well" in run_chaos("--seed", "1", "--no-docker")


@pytest.mark.docker
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a Docker daemon to kill")
@pytest.mark.skipif(not shutil.which("busybox"), reason="agents are made of busybox")
def test_containers_are_neither_lost_nor_launched_again_under_faults() -> None:
    assert "well" in run_chaos("--seed", "2")
