"""Run the benchmarks: a table on stdout, what goes on on stderr, everything as JSON in a file."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import msgspec

from . import (
    chain,
    containers,
    fan_out,
    fibonacci,
    fold,
    listing,
    many,
    processors,
    scaling,
    telemetry,
)
from .about import about
from .docker_host import DockerHost
from .errors import Failed, Skipped
from .figures import Figure, Measured, spread
from .redis_server import redis_server
from .stage import Stage, only_settings
from .table import table

BENCHMARKS: dict[str, Callable[[Stage], Measured]] = {
    "fanout": fan_out.measure,
    "chain": chain.measure,
    "many": many.measure,
    "scaling": scaling.measure,
    "W-40": fibonacci.measure_light,
    "W-10": fibonacci.measure_heavy,
    "containers": containers.measure,
    "fold": fold.measure,
    "listing": listing.measure,
    "telemetry": telemetry.measure,
}
FSYNC = ("everysec", "always")
REPETITIONS = 3


@dataclass
class Report:
    """What was measured: benchmark -> appendfsync -> figure, and what to say about it."""

    about: dict[str, object]
    figures: dict[str, dict[str, dict[str, Figure]]]
    notes: list[str] = field(default_factory=list[str])
    failed: bool = False

    def as_json(self) -> bytes:
        content = {"about": self.about, "notes": self.notes, **self.figures}
        return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def main() -> None:
    arguments = parse(sys.argv[1:])
    _end_on_signals()
    report = Report({**about(), "quick": arguments.quick}, {})
    if arguments.quick:
        report.notes.append("Measured once and on small sizes: it works; how fast is another run.")
    with only_settings({}), DockerHost() as docker:
        for fsync in arguments.fsync:
            measure_all(report, arguments.only, fsync, docker, quick=arguments.quick)
    print(table(report.figures, arguments.fsync))
    for note in report.notes:
        print(f"\n{note}")
    if arguments.json:
        arguments.json.write_bytes(report.as_json())
    sys.exit(1 if report.failed else 0)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__)
    parser.add_argument(
        "--only",
        type=lambda text: _chosen(text, BENCHMARKS),
        default=list(BENCHMARKS),
        metavar="NAME,…",
        help=f"of {', '.join(BENCHMARKS)}",
    )
    parser.add_argument(
        "--fsync",
        type=lambda text: _chosen(text, FSYNC),
        default=list(FSYNC),
        metavar="NAME,…",
        help=f"settings of Redis' appendfsync, of {', '.join(FSYNC)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repetition")
    return parser.parse_args(arguments)


def _chosen(text: str, known: Collection[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there: {', '.join(known)}")
    return names


def measure_all(
    report: Report, names: list[str], fsync: str, docker: DockerHost, *, quick: bool
) -> None:
    """Measure on one Redis, and add to the report."""
    with redis_server(fsync) as server, tempfile.TemporaryDirectory() as folder:
        report.about["server"] = str(server.program)
        stage = Stage(server, docker, Path(folder), quick, report.notes)
        for name in names:
            figures = report.figures.setdefault(name, {})
            try:
                figures[fsync] = measure(stage, name, repetitions=1 if quick else REPETITIONS)
            except Skipped as skipped:
                stage.note(f"{name} is skipped: {skipped}")
            except Failed as failed:
                report.failed = True
                stage.note(f"{name}, appendfsync {fsync}, failed: {failed}")


def measure(stage: Stage, name: str, *, repetitions: int) -> dict[str, Figure]:
    measured: list[Measured] = []
    for number in range(repetitions):
        say(f"{name}, appendfsync {stage.server.fsync}, {number + 1} of {repetitions}")
        measured.append(_measure_once(stage, name))
    return spread(measured)


def _measure_once(stage: Stage, name: str) -> Measured:
    before = processors.read(stage.server.pid)
    measured = BENCHMARKS[name](stage)
    after = processors.read(stage.server.pid)
    return {**measured, "others_cpu_percent": processors.others_percent(before, after)}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _end_on_signals() -> None:
    """SIGTERM as Ctrl-C, also in the background: every `with` block stops what it started."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupt)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bin/bench was interrupted")
