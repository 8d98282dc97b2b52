"""The machine and the programs that figures were measured on."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("agentainer-flow", "redis", "hiredis", "uvloop", "docker")


def about() -> dict[str, object]:
    return {
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        # A sync costs nothing where files are kept in memory.
        "filesystem": _said("stat", "-f", "-c", "%T", tempfile.gettempdir()),
        **{name: version(name) for name in PACKAGES},
    }


def _commit() -> str:
    root = Path(__file__).parents[1]
    return _said("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def _said(*command: str) -> str:
    """What a program prints; nothing when it is not here or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
