"""Known bugs, which the simulator has to find. Each is a guard or a step taken out."""

from __future__ import annotations

from .engine import ENGINE
from .launcher import LAUNCHER
from .parts import PARTS
from .processes import PROCESSES
from .scripts import SCRIPTS
from .worker import WORKER

MUTANTS = [*ENGINE, *LAUNCHER, *PARTS, *PROCESSES, *SCRIPTS, *WORKER]
