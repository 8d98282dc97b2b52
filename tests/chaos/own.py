"""Processes that do not outlive the run, however it ends.

Linux kills them with the thread that started them, so that has to be the main thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence


def own(command: Sequence[str]) -> list[str]:
    """The command as one that is killed with us, where the system can do that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)
