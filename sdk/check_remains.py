"""Read for `check` what there is of jobs on this host: containers and folders. Only reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import msgspec
from docker.errors import DockerException

from ..core.settings import Settings
from ..projections.invariants import Remains

LABEL = "agentainer."
#: What a daemon gets to answer, seconds.
TIMEOUT = 10


class _Owner(msgspec.Struct, frozen=True):
    """`job.json` in the folder of a job."""

    installation: str
    workflow: str
    job: str


def find_remains(settings: Settings, installation: str) -> tuple[list[Remains], list[str]]:
    """What is there of jobs of this installation, and in words where nobody could look. Blocks."""
    found = list(_folders(settings.home_path / "processes", installation))
    if settings.runtime == "process":
        return found, []
    try:
        return [*found, *_containers(installation)], []
    except (DockerException, OSError) as error:
        return found, [f"containers: Docker does not answer ({error})"]


def _containers(installation: str) -> Iterator[Remains]:
    client: Any = docker.from_env(timeout=TIMEOUT)
    try:
        mine = {"label": f"{LABEL}installation={installation}"}
        listed: list[dict[str, Any]] = client.api.containers(all=True, filters=mine)
    finally:
        client.close()
    for one in listed:
        labels = one["Labels"]
        name = "container " + one["Names"][0].lstrip("/")
        running = one["State"] == "running"
        yield Remains(name, labels[f"{LABEL}workflow"], labels[f"{LABEL}job"], running)


def _folders(root: Path, installation: str) -> Iterator[Remains]:
    for path in root.glob("*/job.json"):
        try:
            owner = msgspec.json.decode(path.read_bytes(), type=_Owner)
        except (FileNotFoundError, msgspec.DecodeError):  # on its way in or out
            continue
        if owner.installation == installation:
            yield Remains(f"folder {path.parent.name}", owner.workflow, owner.job)
