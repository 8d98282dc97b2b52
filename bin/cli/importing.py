"""Import much at once, without looking for garbage in it."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def importing() -> Generator[None]:
    """What is imported within stays: the collector passes it over, now and later.

    A full collection goes through all modules, and pauses a process that serves for 50 ms.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
