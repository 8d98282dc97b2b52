"""Exported histories as tests of pytest, one each; see docs/guides/debugging.md.

    pytest --agentainer-histories tests/histories --agentainer-definition shop.orders

It is there wherever the package is, so what it needs is imported when there is a history to test.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..core.definition import Definition

SUFFIX = ".agflow"


class HistoryDiffers(Exception):
    """Raised when a history is not what the code of today would make of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("agentainer")
    group.addoption(
        "--agentainer-histories",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help=f"test each exported history (*{SUFFIX}) below this folder against the code of today",
    )
    group.addoption(
        "--agentainer-definition",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="the steps that histories of this workflow ran have to be there still",
    )
    parser.addini("agentainer_histories", "folders as --agentainer-histories", "paths", [])
    parser.addini("agentainer_definitions", "as --agentainer-definition", "args", [])


def pytest_configure(config: pytest.Config) -> None:
    """What the option names is collected, whatever else is asked for."""
    asked = [Path(argument.partition("::")[0]).absolute() for argument in config.args]
    for folder in _asked_folders(config):
        if not any(one in (folder, *folder.parents) for one in asked):
            config.args.append(str(folder))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    if file_path.suffix != SUFFIX:
        return None
    folders = [*_asked_folders(parent.config), *parent.config.getini("agentainer_histories")]
    if not any(Path(folder) in file_path.parents for folder in folders):
        return None
    found: pytest.File = HistoryFile.from_parent(parent, path=file_path)
    return found


class HistoryFile(pytest.File):
    """A file with one history."""

    def collect(self) -> Iterable[pytest.Item]:
        yield HistoryItem.from_parent(self, name="history")


class HistoryItem(pytest.Item):
    """One history against the code of today."""

    def runtest(self) -> None:
        from .corpus import examine

        findings = examine(self.path, _definitions(self.config)).findings
        if findings:
            raise HistoryDiffers("\n".join(findings))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str:
        if isinstance(excinfo.value, HistoryDiffers):
            return f"{self.path}\n{excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"history {self.path.name}"


def _asked_folders(config: pytest.Config) -> list[Path]:
    folders: list[Path] = config.getoption("--agentainer-histories") or []
    return [folder.absolute() for folder in folders]


_DEFINITIONS: pytest.StashKey[dict[str, Definition]] = pytest.StashKey()


def _definitions(config: pytest.Config) -> dict[str, Definition]:
    if _DEFINITIONS not in config.stash:
        from .corpus import definitions_of

        given: list[str] = config.getoption("--agentainer-definition") or []
        references: list[str] = [*given, *config.getini("agentainer_definitions")]
        config.stash[_DEFINITIONS] = definitions_of(references)
    return config.stash[_DEFINITIONS]
