"""For pytest: fixtures to test workflows with, and exported histories as tests, one each.

    def test_orders(flow): …                see docs/guides/testing.md
    pytest --agentainer-histories tests/histories --agentainer-definition shop.orders
                                            see docs/guides/debugging.md

It is there wherever the package is, so what it needs is imported when a test asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..core.definition import Definition
    from .testing.local import LocalEngine
    from .testing.real import RedisEngine
    from .testing.runs import LocalRun

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
    group.addoption(
        "--agentainer-debug",
        action="store_true",
        help="print each event of the workflows that tests run, and what the engine logs",
    )
    parser.addini("agentainer_histories", "folders as --agentainer-histories", "paths", [])
    parser.addini("agentainer_definitions", "as --agentainer-definition", "args", [])


def pytest_configure(config: pytest.Config) -> None:
    """What the option names is collected, whatever else is asked for."""
    if config.getoption("--agentainer-debug"):
        _debug()
    asked = [Path(argument.partition("::")[0]).absolute() for argument in config.args]
    for folder in _asked_folders(config):
        if not any(one in (folder, *folder.parents) for one in asked):
            config.args.append(str(folder))


def _debug() -> None:
    from ..core.logging import log_to_stderr
    from ..core.settings import Settings
    from .testing.engine import debug_all

    log_to_stderr(Settings(log_level="debug"))
    debug_all()


@pytest.fixture
def flow() -> Generator[LocalEngine]:
    """An engine on virtual time, for the workflows of one test."""
    from .testing.local import LocalEngine

    with LocalEngine() as engine:
        yield engine


@pytest.fixture
def flow_redis() -> Generator[RedisEngine]:
    """The same on a real Redis, in real time: that of AGENTAINER_REDIS_URL, else the embedded."""
    from .testing.real import RedisEngine

    with RedisEngine() as engine:
        yield engine


def pytest_runtest_setup() -> None:
    _recent().clear()


def _recent() -> list[LocalRun]:
    """The last runs of this test; nothing is imported to find that there are none."""
    module = sys.modules.get(f"{__package__}.testing.runs")
    return module.recent if module else []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed tells the stories of its workflows, unless its error does."""
    report = yield
    if call.when == "call" and call.excinfo is not None and _recent():
        from .testing.record import SHOWN, NotSo

        if report.failed and not isinstance(call.excinfo.value, NotSo):
            for run in _recent():
                report.sections.append((f"story of {run!r}", run.story(most=SHOWN)))
    return report


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
