"""One seed is one run, to the letter, whatever process it runs in."""

from __future__ import annotations

import os
import subprocess
import sys

RUNS = 8


def digests(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--trace", "--runs", str(RUNS)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_two_processes_with_one_seed_give_one_trace() -> None:
    one, other = digests("1"), digests("2")
    assert len(one.splitlines()) == RUNS
    assert one == other
