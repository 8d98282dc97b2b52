"""What can go wrong with a benchmark."""

from __future__ import annotations


class Skipped(Exception):
    """Raised by a benchmark that cannot run here, saying why."""


class Failed(Exception):
    """Base of what makes a benchmark fail; the others go on."""


class NotOnce(Failed):
    """Raised when a log does not tell of each task exactly once."""


class ProcessDied(Failed):
    """Raised when a process ended, or does not get ready; says what it printed last."""


class TookTooLong(Failed):
    """Raised when what was waited for has not come about."""
