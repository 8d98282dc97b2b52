"""Where one repetition happens: an empty Redis, settings, and the processes that serve it."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agentainer_flow.core.settings import PREFIX, Settings

from .docker_host import DockerHost
from .processes import PROGRAM, Process
from .redis_server import Server

FLOWS = Path(__file__).with_name("flows.py")
ENGINE = ("reactors",)


@dataclass
class Stage:
    server: Server
    docker: DockerHost
    folder: Path
    quick: bool
    notes: list[str] = field(default_factory=list[str])

    def note(self, text: str) -> None:
        """Say something beside the figures, once."""
        if text not in self.notes:
            self.notes.append(text)

    @contextmanager
    def empty(self, **settings: str) -> Generator[None]:
        """Empty Redis; inside of the block, processes and the SDK here have these settings."""
        self.server.empty()
        given = {
            "REDIS_URL": self.server.url,
            "HOME": str(self.folder / "home"),
            "PROGRESS": "off",
            **settings,
        }
        with only_settings({PREFIX + name: value for name, value in given.items()}):
            yield

    @contextmanager
    def serving(self, *commands: tuple[str, ...]) -> Generator[list[Process]]:
        """Run `agentainer <command>` for each, all at once; the block begins when all are ready."""
        with ExitStack() as stack:
            processes = [stack.enter_context(self.process(*command)) for command in commands]
            for process in processes:
                process.wait_until_ready()
            yield processes

    def process(self, *command: str) -> Process:
        number = len(list(self.folder.glob("*.out")))
        return Process([PROGRAM, *command], os.environ, self.folder / f"{number}.out")


def worker(*classes: str) -> tuple[str, ...]:
    return ("worker", *(f"{FLOWS}:{name}" for name in classes))


def up(*classes: str) -> tuple[str, ...]:
    """One process with all roles."""
    return ("up", *(f"{FLOWS}:{name}" for name in classes))


@contextmanager
def only_settings(given: dict[str, str]) -> Generator[None]:
    """Have these AGENTAINER_ variables and no others."""
    before = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    _replace(before, given)
    try:
        yield
    finally:
        _replace(given, before)


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    for name in old:
        del os.environ[name]
    os.environ.update(new)


def has_partitions() -> bool:
    return "partitions" in Settings.__struct_fields__
