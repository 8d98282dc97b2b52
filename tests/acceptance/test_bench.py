"""`bin/bench` as a person runs it, small: it measures everything, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.targets import TARGETS

PROGRAM = Path(__file__).parents[2] / "bin" / "bench"
#: Many processes start, one after another, perhaps beside others that test.
pytestmark = pytest.mark.timeout(300)

WITHOUT_DOCKER = "fanout,chain,many,scaling,W-40,W-10,fold"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the benchmark keeps its files; short, because sockets are there."""
    with tempfile.TemporaryDirectory(prefix="b-") as name:
        yield Path(name)


def measure(folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run it with what it needs in `folder`; its table and its figures."""
    done = subprocess.run(
        [PROGRAM, "--quick", "--json", "figures.json", *arguments],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    figures = folder / "figures.json"
    report = json.loads(figures.read_text())
    figures.unlink()
    return done.stdout, report


def remains(folder: Path) -> list[str]:
    """Files there, and processes that were told of one."""
    environments = Path("/proc").glob("[0-9]*/environ")
    return [str(path) for path in [*folder.iterdir(), *environments] if tells(path, folder)]


def tells(path: Path, folder: Path) -> bool:
    try:
        return path.parent == folder or f"TMPDIR={folder}".encode() in path.read_bytes()
    except OSError:  # it ended meanwhile
        return False


def check(names: str, table: str, report: dict[str, Any]) -> None:
    """Every target of these benchmarks is in the table, judged as the figures are."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    met = {(row[0], row[1]): row[-1] for row in rows if len(row) == 5}
    for target in TARGETS:
        if target.benchmark in names.split(","):
            median = report[target.benchmark]["everysec"][target.figure]["median"]
            high = target.is_met_when == "at least"
            is_met = median >= target.bound if high else median <= target.bound
            assert met[target.benchmark, target.figure] == ("yes" if is_met else "no")


def test_everything_but_containers_is_measured_and_nothing_remains(folder: Path) -> None:
    table, report = measure(folder, "--fsync", "everysec", "--only", WITHOUT_DOCKER)
    check(WITHOUT_DOCKER, table, report)
    assert report["fold"]["everysec"]["events"]["median"] > 2_000
    assert report["about"]["quick"]
    assert remains(folder) == []


@pytest.mark.docker
def test_containers_are_measured_and_nothing_remains(folder: Path) -> None:
    table, report = measure(folder, "--fsync", "everysec", "--only", "containers")
    check("containers", table, report)
    assert report["containers"]["everysec"]["relaunched"]["median"] == 0
    assert remains(folder) == []
