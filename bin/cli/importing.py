"""Import much at once, for little."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

#: The client of Redis imports it where it is installed, for names in annotations only.
UNUSED = "opentelemetry.sdk.metrics"


@contextmanager
def importing() -> Generator[None]:
    """What is imported within stays: the collector passes it over, now and later.

    A full collection goes through all modules, and pauses a process that serves for 50 ms. What
    nobody uses is left out, and can be imported afterwards.
    """
    modules = cast("dict[str, Any]", sys.modules)
    is_left_out = UNUSED not in modules
    if is_left_out:
        modules[UNUSED] = None
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if is_left_out:
            del modules[UNUSED]
