"""`bin/chaos`: run the system under faults and judge what came of it."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import anyio

from agentainer_flow.core.logging import log_to_stderr
from agentainer_flow.core.settings import load_settings

from .report import lines
from .run import run
from .schedule import Wanted


def main() -> int:
    asked = _arguments()
    log_to_stderr(load_settings({}, log_level="error"))
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    wanted = Wanted(
        asked.minutes * 60,
        asked.lease,
        asked.pause,
        asked.rate,
        docker=not asked.no_docker,
        partitions=asked.partitions,
        throughput=asked.throughput,
        only_safety=asked.only_safety,
    )
    report = anyio.run(run, folder, seed, wanted, backend_options={"use_uvloop": True})
    for line in lines(report):
        print(line, flush=True)
    if report.problems or asked.keep:
        print(f"kept for a look: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if report.problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="how long faults go on")
    parser.add_argument("--seed", type=int, help="repeats the schedule of an earlier run")
    parser.add_argument("--lease", type=float, default=5, help="AGENTAINER_LEASE, seconds")
    parser.add_argument("--pause", type=float, default=0.5, help="mean time between two faults")
    parser.add_argument("--rate", type=float, default=3, help="workflows started per second")
    parser.add_argument("--partitions", type=int, default=2, help="AGENTAINER_PARTITIONS")
    parser.add_argument("--no-docker", action="store_true", help="agents are local processes")
    parser.add_argument(
        "--throughput",
        action="store_true",
        help="compare tasks per second with those of as long a time without faults",
    )
    parser.add_argument(
        "--only-safety",
        action="store_true",
        help="judge no times and not what was met, for short runs on machines of any speed",
    )
    parser.add_argument("--keep", action="store_true", help="keep logs and data of a good run, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
