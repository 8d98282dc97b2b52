"""A Docker daemon: the one that answers, else for root one of the benchmark's own."""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import docker

from .errors import Skipped

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "examples" / "agents" / "build_images.py"
STOP_S = 60
#: Says in two lines why there is no daemon and where it is, and ends it when its input closes.
SCRIPT = """
set -euo pipefail
. "$ROOT/bin/private-dockerd"
trap stop_dockerd EXIT
missing=$(mktemp)
need_docker >"$missing"
printf '%s\\n%s\\n' "$(head -n 1 "$missing")" "${DOCKER_HOST-}"
rm -f "$missing"
cat >/dev/null
"""


class DockerHost:
    """Starts nothing until it is asked for, and ends what it started.

    The image stays with a daemon that was there: others may be using it by now.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._problem: str | None = None

    def __enter__(self) -> DockerHost:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def need(self) -> None:
        """Have a daemon that answers, with IMAGE. Raises Skipped saying why there is none."""
        if self._problem is None:
            self._problem = self._stack.enter_context(_daemon())
            if not self._problem:
                _build_image()
        if self._problem:
            raise Skipped(self._problem)


@contextlib.contextmanager
def _daemon() -> Generator[str]:
    """Why there is none; DOCKER_HOST names it."""
    process = subprocess.Popen(
        ["bash", "-c", SCRIPT],
        env={**os.environ, "ROOT": str(ROOT), "VENV": sys.prefix},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that Ctrl-C does not reach the daemon before its containers
    )
    before = os.environ.get("DOCKER_HOST")
    try:
        problem, host = (_line(process), _line(process))
        if host:
            os.environ["DOCKER_HOST"] = host
        yield problem
    finally:
        process.communicate(timeout=STOP_S)
        if before is None:
            os.environ.pop("DOCKER_HOST", None)
        else:
            os.environ["DOCKER_HOST"] = before


def _line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None:
        raise ValueError("its output is no pipe")
    return process.stdout.readline().strip()


def _build_image() -> None:
    """The image of the examples that is this interpreter, built without a registry."""
    recipe: dict[str, Any] = runpy.run_path(str(RECIPE))
    client = docker.from_env(timeout=300)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            recipe["build_base"](client)
    finally:
        client.close()
